// The service worker that makes the site work offline, and what a person sees of it.

import { site } from "./assets.js";
import { showBanner } from "./view.js";

const state = document.documentElement.dataset;

/** Registers the worker; `dataset.offline` tells how it stands: `ready`, `update`, or `no`. */
export async function followUpdates() {
  const workers = navigator.serviceWorker;
  state.offline = "no";
  if (!site.base || !workers) return;
  let replaced = Boolean(workers.controller);
  workers.addEventListener("controllerchange", () => {
    if (replaced) location.reload();
    replaced = true;
  });
  try {
    const registration = await workers.register("sw.js");
    offer(registration);
    registration.addEventListener("updatefound", () => {
      const worker = registration.installing;
      worker?.addEventListener("statechange", () => offer(registration));
    });
    await workers.ready;
    if (state.offline === "no") state.offline = "ready";
  } catch {
    // A certificate that the browser does not trust, say: the page works, but needs its server.
  }
}

/** A build that is here whole waits until a person wants it: nothing changes under their hands. @param {ServiceWorkerRegistration} registration */
function offer(registration) {
  const { waiting, active } = registration;
  if (!waiting || !active) return;
  state.offline = "update";
  showBanner("update", "A new version is here.", { action: "Use it", onaction: () => waiting.postMessage("take over") });
}
