// The export page: what to export, what was proven of each file, and what can be done with it.
import { api, attempt, element, get, project, segment, send, tell } from "./studio.js";
import { formValues } from "./forms.js";
import { showJobs } from "./jobs.js";

const files = document.getElementById("files");
const form = document.getElementById("export");

const load = () => attempt(async () => {
  const { exports } = await get(api("exports"));
  if (exports.length) files.replaceChildren(...exports.map(card));
});

const jobs = showJobs(["export", "publish"], (job) => {
  if (job.state === "done") { load(); tell(`${job.title}: done.`); }
  if (job.state === "failed") tell(`${job.title}: ${job.message}`, { bad: true });
}, {
  // The gate has refused a file: the command's own search finds one that keeps to the limits.
  title: "Find a recipe that keeps to the limits",
  shown: (job) => job.kind === "export" && job.exit_status === 1 && !job.words.includes("auto"),
  run: async (job) => {
    const values = { ...formValues(form), run: job.words[2].split("/").at(-1), recipe: "auto" };
    (await jobs).show((await send(api("export"), values)).job);
  },
});
load();

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const { job } = await send(api("export"), formValues(event.target));
    (await jobs).show(job);
  });
});

function card(file) {
  const address = api(`exports/${segment(file.name)}`);
  const rows = file.facts.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)));
  const table = element("div", { className: "scroll", tabIndex: 0, role: "region", aria: { label: `What was proven of ${file.name}` } },
    element("table", {}, element("tbody", {}, ...rows)));
  const targets = element("p", { className: "quiet" },
    file.targets.map(([name, ok, why]) => `${name} ${ok ? "takes it" : `refuses it: ${why}`}`).join(" · "));
  const publish = element("button", { type: "button" }, "Publish for boards");
  publish.hidden = !file.signed;
  publish.addEventListener("click", () => attempt(async () => (await jobs).show((await send(api("publish"), { file: file.name })).job)));
  return element("article", { className: "job" },
    element("h3", {}, element("span", {}, file.name), element("span", { className: "state" }, `${(file.size_bytes / 1000).toFixed(0)} kB, ${file.recipe}${file.signed ? ", signed" : ""}`)),
    ...file.missed.map((text) => element("p", { className: "banner" }, text)),
    table, targets,
    element("p", { className: "row" },
      element("a", { className: "button", href: address, download: file.name }, "Download"),
      element("a", { className: "button", href: `${address}/report`, target: "_blank", rel: "noopener" }, "Report"),
      element("a", { className: "button", href: `/p/${segment(project)}/try?file=${segment(file.name)}` }, "Try it"),
      publish));
}
