// The list of finished runs.
import { api, attempt, element, get, project, segment } from "./studio.js";
import { estimate } from "./gallery.js";

attempt(async () => {
  const { runs } = await get(api("runs"));
  document.getElementById("none").hidden = runs.length > 0;
  document.getElementById("runs").replaceChildren(...runs.map((run) => element("li", {},
    element("a", { href: `/p/${segment(project)}/runs/${segment(run.name)}` }, run.name),
    element("p", {}, run.error ?? `${estimate(run.accuracy)} of ${run.photos} test photos right`))));
});
