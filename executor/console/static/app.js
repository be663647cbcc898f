// The open page: takes what the server sends, and says when it is old. All HTML comes from there.

const STALE_MS = 2000; // of data, and of silence
const RETRY_MS = 2000;

const body = document.body;
const banner = document.getElementById("console-stale");
const bannerText = document.getElementById("console-stale-text");
const bannerAge = document.getElementById("console-stale-age");
const clock = document.getElementById("console-clock");

// Of the server's clock only; between its words our time runs on, whatever this machine's clock says.
let atMs = Number(body.dataset.atMs);
let dataAtMs = Number(body.dataset.dataAtMs);
let heardAt = performance.now();
let heardAtClock = Date.now();
let source = null;
let retry = 0;

function age(ms) {
  const s = ms / 1000;
  if (s < 60) return `${s.toFixed(1)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(s % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function staleness() {
  // By both: the one stands still while a laptop sleeps, the other may be set back.
  const silent = Math.max(performance.now() - heardAt, Date.now() - heardAtClock);
  const old = dataAtMs === 0 ? silent : atMs + silent - dataAtMs;
  if (old <= STALE_MS) return dataAtMs === 0 ? ["No data has come yet.", null] : null;
  // Which silence makes them old: the console's own, or that of the data that it last told of.
  if (silent > old / 2) return ["The console does not answer. These numbers are old:", old];
  return ["No new data comes. These numbers are old:", old];
}

function show() {
  const stale = staleness();
  body.classList.toggle("stale", stale !== null);
  banner.hidden = stale === null;
  const text = stale === null ? "" : stale[0];
  // Only when it changes: a screen reader says it again each time.
  if (bannerText.textContent !== text) bannerText.textContent = text;
  bannerAge.textContent = stale === null || stale[1] === null ? "" : age(stale[1]);
  const now = new Date(atMs + performance.now() - heardAt);
  clock.textContent = now.toISOString().slice(11, 19);
}

// -- replacing a part, without taking anything out of the person's hands ------------------------

function identified(element, within) {
  // Elements have names that last: an id, or the form's action and a field's name and account.
  if (element.id) return `#${CSS.escape(element.id)}`;
  const form = element.closest("form");
  if (!form || !within.contains(form)) return null;
  const account = form.elements.namedItem("account");
  const same = [...within.querySelectorAll(`form[action="${form.getAttribute("action")}"]`)];
  const which = same.findIndex((each) => each === form);
  const inside = [...form.elements].indexOf(element);
  return { action: form.getAttribute("action"), account: account ? account.value : null, which, inside };
}

function found(within, name) {
  if (typeof name === "string") return within.querySelector(name);
  const forms = [...within.querySelectorAll(`form[action="${name.action}"]`)];
  const form =
    name.account === null
      ? forms[name.which]
      : forms.find((each) => each.elements.namedItem("account")?.value === name.account);
  return form ? form.elements[name.inside] : null;
}

function kept(target) {
  const fields = [...target.querySelectorAll("input:not([type=hidden]), select, textarea")]
    .filter((each) => (each.type === "checkbox" || each.type === "radio"
      ? each.checked !== each.defaultChecked
      : each.tagName !== "SELECT" && each.value !== each.defaultValue) || each === document.activeElement)
    .map((each) => [identified(each, target), each.value, each.checked,
      each.selectionStart ?? null, each.selectionEnd ?? null]);
  const active = target.contains(document.activeElement) ? document.activeElement : null;
  return {
    fields,
    focus: active ? identified(active, target) : null,
    open: [...target.querySelectorAll("details[id]")].map((each) => [each.id, each.open]),
    scrolled: [...target.querySelectorAll("[id]"), target]
      .filter((each) => each.id && (each.scrollTop || each.scrollLeft))
      .map((each) => [each.id, each.scrollTop, each.scrollLeft]),
  };
}

function restore(target, state) {
  for (const [id, open] of state.open) {
    const each = document.getElementById(id);
    if (each) each.open = open;
  }
  for (const [name, value, checked, start, end] of state.fields) {
    const each = name && found(target, name);
    if (!each) continue;
    if (each.type === "checkbox" || each.type === "radio") each.checked = checked;
    else {
      each.value = value;
      if (start !== null && each.setSelectionRange) {
        try { each.setSelectionRange(start, end); } catch { /* a kind of field without one */ }
      }
    }
  }
  if (state.focus) found(target, state.focus)?.focus({ preventScroll: true });
  for (const [id, top, left] of state.scrolled) {
    const each = document.getElementById(id);
    if (each) each.scrollTo({ top, left, behavior: "instant" });
  }
}

function replace(id, html) {
  const target = document.getElementById(id);
  if (!target) return;
  const state = kept(target);
  target.innerHTML = html;
  restore(target, state);
}

// -- the stream -------------------------------------------------------------------------------

function take(event) {
  const told = JSON.parse(event.data);
  atMs = told.at_ms;
  dataAtMs = told.data_at_ms;
  heardAt = performance.now();
  heardAtClock = Date.now();
  for (const [id, html] of Object.entries(told.parts)) replace(id, html);
  show();
}

async function look() {
  // The stream was refused: perhaps the console was started again, and knows no session of ours.
  try {
    const answer = await fetch(location.href, { method: "HEAD", redirect: "manual" });
    if (answer.status === 401) location.reload();
  } catch { /* it is away: the banner says so */ }
}

function open() {
  if (source || document.hidden) return;
  source = new EventSource(body.dataset.events);
  source.onmessage = take;
  source.onerror = () => {
    if (source && source.readyState === EventSource.CLOSED) {
      close();
      look();
      retry = setTimeout(open, RETRY_MS);
    }
  };
}

function close() {
  clearTimeout(retry);
  if (source) source.close();
  source = null;
}

// Not while nobody looks: a browser has few connections, and this machine has better to do.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
addEventListener("pageshow", open);

document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

if (body.dataset.events) {
  open();
  setInterval(show, 250);
}
