// A form as the JSON that the API takes: numbers as numbers, boxes as true and false, boxes of one name as a list.
export function formValues(form) {
  const values = {};
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox" && field.hasAttribute("value")) {
      values[field.name] ??= [];
      if (field.checked) values[field.name].push(field.value);
    } else if (field.type === "checkbox") values[field.name] = field.checked;
    else if (field.type === "number") values[field.name] = Number(field.value);
    else values[field.name] = field.value;
  }
  return values;
}

/** Puts values that `formValues` gave back into a form; fields that they do not name stay as they are. */
export function fillForm(form, values) {
  for (const field of form.elements) {
    if (!(field.name in values)) continue;
    if (field.type === "checkbox") field.checked = values[field.name];
    else field.value = values[field.name];
  }
}
