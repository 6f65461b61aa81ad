// What every page uses: requests, events, messages, dialogs. Whatever comes from outside is shown as text, never as markup.

export const project = document.body.dataset.project;

export const segment = encodeURIComponent;

/** Address of the API of this page's project. */
export const api = (path) => `/api/p/${segment(project)}/${path}`;

async function answer(response) {
  if (response.status === 401) {
    throw new Error("The studio does not know this browser: open the address that its terminal shows.");
  }
  const value = await response.json().catch(() => ({ error: `The studio answered ${response.status}.` }));
  if (!response.ok) throw new Error(value.error ?? `The studio answered ${response.status}.`);
  return value;
}

/** GETs JSON; throws an Error with one line. */
export const get = async (path, options = {}) => answer(await fetch(path, options));

/** Sends JSON, or a Blob as it is; throws an Error with one line. */
export async function send(path, value = {}, method = "POST") {
  const body = value instanceof Blob ? value : JSON.stringify(value);
  return answer(await fetch(path, { method, body, headers: { "X-Requested-By": "studio" } }));
}

/** Shows a message for some seconds, with a button if `action` is { title, run }. */
export function tell(text, { bad = false, action = null } = {}) {
  const toast = element("p", { className: bad ? "toast bad" : "toast" }, text);
  if (action) {
    const button = element("button", { type: "button" }, action.title);
    button.addEventListener("click", () => { toast.remove(); attempt(action.run); });
    toast.append(" ", button);
  }
  document.getElementById("toasts").append(toast);
  setTimeout(() => toast.remove(), bad || action ? 12000 : 5000);
}

/** Runs something that may fail, and tells what went wrong. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    tell(error.message, { bad: true });
    return undefined;
  }
}

/** Makes an element: its properties, `data` and `aria` objects, then its children. */
export function element(name, { data = {}, aria = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  Object.assign(made.dataset, data);
  for (const [key, value] of Object.entries(aria)) made.setAttribute(`aria-${key}`, value);
  made.append(...children);
  return made;
}

/** Listens to what happens in the project: `listen({ job: (value) => … })`; the state is loaded anew after "reload", which comes whenever the page begins to listen. */
export function listen(handlers) {
  const source = new EventSource(api("events"));
  for (const [kind, handle] of Object.entries(handlers)) {
    source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
  return source;
}

/** Asks for one line of text in a dialog; null if it was left. */
export function ask(question, value = "", action = "OK") {
  const input = element("input", { name: "text", value, required: true, maxLength: 64, autocomplete: "off" });
  return dialog(question, action, input).then((yes) => (yes ? input.value : null));
}

/** Asks yes or no in a dialog. */
export const confirm = (question, action) => dialog(question, action);

function dialog(question, action, ...inputs) {
  const label = element("label", {}, element("span", {}, question), ...inputs);
  const cancel = element("button", { type: "button" }, "Cancel");
  const buttons = element("p", { className: "row" }, element("button", { className: "primary", value: "yes" }, action), cancel);
  const form = element("form", { method: "dialog" }, label, buttons);
  const shown = element("dialog", { aria: { label: question } }, form);
  cancel.addEventListener("click", () => shown.close());
  document.body.append(shown);
  shown.showModal();
  return new Promise((resolve) => {
    shown.addEventListener("close", () => { shown.remove(); resolve(shown.returnValue === "yes"); });
  });
}
