// The scenario: sliders beside their numbers, and the answer drawn anew as one drags. One question is under way at a time;
// the next one asks for where the hand is by then, so the service is never flooded and the curve never lags behind.
"use strict";
(() => {
  const form = document.getElementById("scenario");
  if (!form) return;
  const numberOf = (field) => Number(field.value.replace(/[,\s]/g, ""));
  for (const range of form.querySelectorAll("[data-slides]")) {
    const field = form.elements[range.dataset.slides];
    const grouped = "grouped" in range.dataset;
    const follow = () => { const number = numberOf(field); if (Number.isFinite(number)) range.value = String(number); };
    range.hidden = false;
    range.addEventListener("input", () => { field.value = grouped ? Number(range.value).toLocaleString("en-US") : range.value; });
    field.addEventListener("input", follow);
    follow();
  }

  let busy = false, waiting = false, resting = 0;
  const tell = (name) => form.dispatchEvent(new CustomEvent(name));
  const ask = () => {
    if (busy) { waiting = true; return; }
    busy = true;
    waiting = false;
    tell("redraw");
  };
  const desk = document.getElementById("desk");
  desk.addEventListener("input", (event) => {
    if (event.target.form !== form) return;
    if ("reloads" in event.target.dataset || "resubmits" in event.target.dataset) return;
    ask();
    clearTimeout(resting);
    resting = setTimeout(() => tell("settled"), 300);
  });
  desk.addEventListener("change", (event) => {
    if ("resubmits" in event.target.dataset) form.submit();
    if (!("reloads" in event.target.dataset)) return;
    // Other terms begin with figures of their own.
    const address = new URL(form.action);
    for (const name of ["of", "mode"]) address.searchParams.set(name, form.elements[name].value);
    location.assign(address);
  });
  document.addEventListener("htmx:finally:request", (event) => {
    if (event.target.id !== "answer") return;
    busy = false;
    if (waiting) ask();
  });
})();
