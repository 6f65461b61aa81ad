// The training page: one button, choices behind a fold, and the jobs.
import { api, attempt, project, segment, send, tell } from "./studio.js";
import { formValues } from "./forms.js";
import { showJobs } from "./jobs.js";

const jobs = showJobs(["train", "evaluate"], (job) => {
  if (job.state === "done") tell(`${job.title}: done.`, { action: { title: "Export it", run: () => location.assign(`/p/${segment(project)}/export`) } });
  if (job.state === "failed") tell(`${job.title}: ${job.message}`, { bad: true });
});

document.getElementById("train").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const { job } = await send(api("train"), formValues(event.target));
    (await jobs).show(job);
    document.querySelector(`[data-job="${job.id}"]`)?.scrollIntoView({ block: "nearest" });
  });
});
