"use strict";
// One request carries every answer and the pool meanwhile: a browser opens no more than six connections to a host.
const $ = id => document.getElementById(id);
const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const color = index => "--m" + index % 8;
const bytes = n =>
  n >= 1 << 20 ? (n / (1 << 20)).toFixed(1) + " MiB" : n >= 1024 ? (n / 1024).toFixed(1) + " KiB" : n + " B";
const many = (n, noun) => n.toLocaleString("en") + " " + noun + (n === 1 ? "" : "s");
const say = (text, failed = false) => { $("status").textContent = text; $("status").classList.toggle("failed", failed); };
const isChat = () => document.forms.form.elements.mode.value === "chat";
const drafts = { completion: $("prompt").value, chat: "" };
// The messages of each model's chat, by its id: the models answer differently, so each has a chat of its own.
const chats = new Map();
let models = [], running = null, pool = null, sentAt = null, answeredAt = null;

// Asks the server. What it says is wrong becomes an Error with its status; a server that is gone has none.
async function call(path, options = {}) {
  const headers = { "Content-Type": "application/json" };
  if ($("key").value) headers.Authorization = "Bearer " + $("key").value;
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  const message = answer.status !== 401 ? body.error?.message ?? "the server answered " + answer.status
    : $("key").value ? "This API key is wrong." : "This server needs an API key.";
  if (answer.status === 401) $("keyLabel").hidden = false;
  throw Object.assign(new Error(message), { status: answer.status });
}

// The models, once at first and again when the server has been away; true where they are known.
async function load() {
  const chosen = new Map([...$("models").querySelectorAll("input")].map(box => [box.value, box.checked]));
  try {
    models = (await (await call("/v1/models", { signal: AbortSignal.timeout(5000) })).json()).data;
  } catch (error) {
    if (error.status) say(error.message, true);
    return false;
  }
  if ($("status").classList.contains("failed")) say("");
  $("models").replaceChildren(...models.map((model, index) => {
    const label = make("label"), box = make("input"), swatch = make("span", "swatch used");
    box.type = "checkbox"; box.checked = chosen.get(model.id) ?? true; box.value = model.id;
    swatch.style.setProperty("--c", "var(" + color(index) + ")");
    label.append(box, " ", swatch, model.id + " (" + model.attention + ")");
    return label;
  }));
  return true;
}

// A number's field; what is empty or out of range becomes what the form began with or the nearest it takes.
function number(id) {
  const field = $(id), value = field.value.trim() === "" ? NaN : +field.value;
  const kept = Number.isFinite(value) ? Math.min(+field.max, Math.max(+field.min, value)) : +field.defaultValue;
  field.value = id === "temperature" ? kept : Math.round(kept);
  return +field.value;
}

function card(model, copies, copy) {
  const box = make("section", "answer"), head = make("header"), name = make("b");
  const figures = make("span", "figures", "queued"), text = make("pre"), swatch = make("span", "swatch used");
  let body = text;
  swatch.style.setProperty("--c", "var(" + color(models.indexOf(model)) + ")");
  name.append(swatch, model.id + (copies > 1 ? " #" + (copy + 1) : ""));
  if (isChat()) {
    body = make("div", "turns");
    for (const message of chats.get(model.id)) {
      const turn = make("pre", message.role, message.content);
      turn.setAttribute("aria-label", message.role === "user" ? "You" : model.id);
      body.append(turn);
    }
    body.append(text);
  }
  head.append(name, figures); box.append(head, body);
  body.tabIndex = 0;
  $("answers").append(box);
  body.scrollTop = body.scrollHeight;
  return { box, figures, text, body, model, tokens: 0, done: false };
}
const fail = (view, message) => {
  if (view.done) return;
  view.done = true;
  view.figures.textContent += (view.figures.textContent ? "; " : "") + message;
  view.figures.classList.add("failed");
};

async function send() {
  // A chat's turns follow each other.
  if (running && isChat()) return say("Wait for the answer's end, or stop it.", true);
  if (running) running.abort();
  const chat = isChat(), message = $("prompt").value;
  const [tokens, temperature, copies] = [number("tokens"), number("temperature"), chat ? 1 : number("copies")];
  if (!models.length && !await load()) return;
  const checked = [...$("models").querySelectorAll("input:checked")].map(box => box.value);
  const chosen = models.filter(model => checked.includes(model.id));
  if (!chosen.length) return say("Choose at least one model.", true);
  if (chat && !message.trim()) return say("Write a message.", true);
  const mine = running = new AbortController(), views = [], started = performance.now();
  sentAt = new Date();
  $("answers").replaceChildren();
  if (chat) {
    for (const { id } of chosen) chats.set(id, [...(chats.get(id) ?? []), { role: "user", content: message }]);
    $("prompt").value = "";
  }
  for (const model of chosen) views.push(Array.from({ length: copies }, (_, copy) => card(model, copies, copy)));
  $("stop").disabled = false;
  say("Sent to " + many(chosen.length, "model") + (copies > 1 ? ", " + copies + " copies each" : "") + ".");
  let ended = "the connection broke off";
  try {
    const answer = await call("/v1/kvlab/play", {
      method: "POST", signal: mine.signal,
      body: JSON.stringify({
        models: chosen.map(model => model.id), max_tokens: tokens, temperature, n: copies, seed: 0,
        ...(chat ? { chats: chosen.map(model => chats.get(model.id)) } : { prompt: message })
      })
    });
    for await (const event of events(answer)) {
      if (event.error) throw Object.assign(new Error(event.error.message), { status: 500 });
      show(event, views);
    }
  } catch (error) {
    ended = error.name === "AbortError" ? "stopped" : error.status ? error.message : "the server is gone";
  }
  const all = views.flat(), done = all.filter(view => view.done && view.box.dataset.done);
  // What was answered, in part too, is a turn of the chat; a message that none of it answered is taken back.
  if (chat) for (const view of all) {
    const turns = chats.get(view.model.id);
    if (view.tokens || view.box.dataset.done) turns?.push({ role: "assistant", content: view.text.textContent });
    else turns?.pop();
  }
  if (chat && all.every(view => !view.tokens && !view.box.dataset.done) && !$("prompt").value) $("prompt").value = message;
  for (const view of all) {
    if (!view.done && !view.tokens) view.figures.textContent = "";
    fail(view, ended);
  }
  if (running !== mine) return;
  running = null;
  $("stop").disabled = true;
  const total = all.reduce((sum, view) => sum + view.tokens, 0), seconds = (performance.now() - started) / 1000;
  if (done.length === all.length) {
    say(many(all.length, "answer") + ", " + many(total, "token") + " in " + seconds.toFixed(1) + " s.");
  } else {
    const reason = all.find(view => !view.box.dataset.done).error ?? ended;
    say(done.length + " of " + many(all.length, "answer") + " done; " + reason + (reason.endsWith(".") ? "" : "."),
        ended !== "stopped");
  }
}

// The values of a stream of server-sent events, to its [DONE].
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream ended early");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }
}

function show(event, views) {
  (event.models ?? []).forEach((model, place) => views[place].forEach(view => {
    view.request = model.request;
    if (!model.error) return;
    view.figures.textContent = "";
    view.error = model.error.message;
    fail(view, model.error.message);
  }));
  for (const output of event.outputs ?? []) {
    const view = views[output.model][output.output];
    const follows = view.body.scrollTop + view.body.clientHeight >= view.body.scrollHeight - 4;
    view.text.append(output.text);
    if (follows) view.body.scrollTop = view.body.scrollHeight;
    view.tokens = output.tokens;
    const speed = output.tokens > 1 && output.seconds > 0 ? (output.tokens - 1) / output.seconds : null;
    view.figures.textContent = many(output.tokens, "token")
      + (speed === null ? "" : ", " + speed.toFixed(0) + " tokens/s") + ", " + bytes(output.cache_bytes) + " of cache";
    if (output.finish_reason) {
      view.done = true;
      view.box.dataset.done = "true";
      if (output.finish_reason === "stop" && !view.text.textContent) view.figures.textContent += ", ended at once";
    }
  }
  if (!event.pool) return;
  showPool(event.pool);
  $("pool").dataset.live = +($("pool").dataset.live ?? 0) + 1;
  const holds = new Set(event.pool.sequences.map(sequence => sequence.request));
  for (const view of views.flat()) {
    if (!view.done && !view.tokens) view.figures.textContent = holds.has(view.request) ? "reading the prompt" : "queued";
  }
}

const kinds = ["used", "shared", "idle"];
function showPool(next) {
  pool = next;
  answeredAt = new Date();
  $("stale").hidden = true;
  document.body.classList.remove("stale");
  $("poolPart").hidden = $("tablePart").hidden = false;
  const counts = [0, 0, 0];
  const segments = [];
  const pagesOf = model => [model.used_pages, model.shared_pages, model.idle_prefix_pages];
  pool.models.forEach((model, index) => pagesOf(model).forEach((pages, kind) => {
    counts[kind] += pages;
    const segment = make("span", kinds[kind]);
    segment.style.setProperty("--c", "var(" + color(index) + ")");
    segment.style.width = 100 * pages / pool.pages + "%";
    if (pages) segments.push(segment);
  }));
  $("bar").replaceChildren(...segments);
  const each = pool.map.pages_per_cell * merged();
  $("poolText").textContent = many(pool.pages, "page") + " of " + bytes(pool.page_bytes) + "; "
    + many(pool.running, "sequence") + " running, " + pool.waiting + " waiting."
    + (each === 1 ? "" : " A square is " + each + " pages, in the colour of the model with most of them: hollow where it "
      + "holds only idle ones, with a hole where any is shared, paler the more are free.");
  const words = [
    ["used", "used by one sequence"], ["shared", "shared by several"], ["idle", "idle, kept for prefixes"], ["free", "free"]
  ];
  const values = [...counts, pool.free_pages];
  $("legend").replaceChildren(...words.map(([kind, text], place) => {
    const item = make("li");
    item.append(make("span", "swatch " + kind), text + ": " + values[place].toLocaleString("en"));
    return item;
  }));
  const spoken = words.map(([, text], place) => values[place] + " " + text).join(", ");
  $("pool").setAttribute("aria-label", "Pages of the pool: " + spoken);
  drawMap();
  $("poolRows").replaceChildren(...pool.models.map((model, index) => {
    const mine = pool.sequences.filter(sequence => sequence.model === model.id), row = make("tr");
    const names = [...document.querySelectorAll("thead th")].map(head => head.textContent);
    [model.id, model.attention, model.bytes_per_token, ...pagesOf(model), mine.length,
     mine.reduce((sum, sequence) => sum + sequence.tokens, 0)].forEach((value, place) => {
      const cell = make("td", "", typeof value === "number" ? value.toLocaleString("en") : value);
      cell.dataset.name = names[place];
      row.append(cell);
    });
    const swatch = make("span", "swatch used");
    swatch.style.setProperty("--c", "var(" + color(index) + ")");
    row.firstChild.prepend(swatch);
    return row;
  }));
}

// Cells drawn as one square: a narrow window gets fewer.
const merged = () => {
  const cells = Math.ceil(pool.pages / pool.map.pages_per_cell), most = $("pool").clientWidth < 640 ? 1024 : 2048;
  return Math.max(1, Math.ceil(cells / most));
};

function drawMap() {
  const cells = [];
  for (const [count, ...held] of pool.map.runs) for (let i = 0; i < count; i++) cells.push(held);
  const joined = merged(), each = pool.map.pages_per_cell * joined, squares = Math.ceil(cells.length / joined);
  const canvas = $("pool"), width = canvas.clientWidth, scale = window.devicePixelRatio || 1, size = 10;
  const columns = Math.max(1, Math.floor(width / size)), height = Math.ceil(squares / columns) * size;
  canvas.style.height = height + "px";
  canvas.width = width * scale; canvas.height = height * scale;
  const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  context.scale(scale, scale);
  const paint = name => style.getPropertyValue(name).trim();
  for (let square = 0; square < squares; square++) {
    const sums = new Map();
    for (const held of cells.slice(square * joined, (square + 1) * joined)) for (const [model, ...pages] of held) {
      const sum = sums.get(model) ?? [0, 0, 0];
      sums.set(model, sum.map((count, kind) => count + pages[kind]));
    }
    const x = square % columns * size, y = Math.floor(square / columns) * size, side = size - 1;
    const all = pages => pages[0] + pages[1] + pages[2], there = Math.min(each, pool.pages - square * each);
    context.globalAlpha = 1;
    context.fillStyle = paint("--free");
    if (!sums.size) { context.fillRect(x, y, side, side); continue; }
    const [model, pages] = [...sums].reduce((best, next) => all(next[1]) > all(best[1]) ? next : best);
    context.globalAlpha = .4 + .6 * [...sums.values()].reduce((sum, pages) => sum + all(pages), 0) / there;
    context.fillStyle = context.strokeStyle = paint(color(model));
    if (pages[0] + pages[1] === 0) {
      // Thin, and on half pixels to be sharp: unlike a shared one's hole at a glance.
      context.strokeRect(x + .5, y + .5, side - 1, side - 1);
      continue;
    }
    context.fillRect(x, y, side, side);
    context.globalAlpha = 1;
    context.fillStyle = paint("--paper");
    if (pages[1]) context.fillRect(x + 3, y + 3, 3, 3);
  }
}

// The pool while nothing runs: asked for again only once the last answer is there.
async function watch() {
  let away = false;
  for (;;) {
    if (!running && !document.hidden && models.length) {
      try {
        const next = await (await call("/v1/kvlab/pool", { signal: AbortSignal.timeout(5000) })).json();
        // Another set of models may be served now.
        if (away && await load()) say("The server is back.");
        away = false;
        if (!running) showPool(next);
      } catch (error) {
        if (error.status === 401) { models = []; say(error.message, true); } else { away = true; stale(); }
      }
    } else if (running && new Date() - Math.max(sentAt, answeredAt) > 10000) {
      // A stream whose connection is dead does not say so.
      stale();
    } else if (!models.length && $("keyLabel").hidden) {
      // The server was away from the start.
      if (!await load() && $("keyLabel").hidden) { away = true; stale(); }
    }
    await new Promise(done => setTimeout(done, away ? 1000 : 500));
  }
}
function stale() {
  // Said once: it is an alert.
  if (!$("stale").hidden) return;
  document.body.classList.add("stale");
  $("stale").textContent = "The server does not answer. "
    + (answeredAt ? "The pool is shown as it was at " + answeredAt.toLocaleTimeString() + ". " : "") + "Trying again…";
  $("stale").hidden = false;
}

// Chats go on until "New chat", whatever is shown meanwhile; each mode keeps what is being written.
function leave() {
  running?.abort();
  running = null;
  $("stop").disabled = true;
}
function mode(now, before) {
  leave();
  drafts[before] = $("prompt").value;
  $("prompt").value = drafts[now];
  $("prompt").setAttribute("aria-label", now === "chat" ? "Message" : "Prompt");
  $("copiesLabel").hidden = now === "chat";
  $("fresh").hidden = now !== "chat";
  document.body.classList.toggle("chat", now === "chat");
  $("answers").replaceChildren();
  if (now === "chat") for (const model of models) if (chats.get(model.id)?.length) card(model, 1, 0).figures.textContent = "";
  say("");
}
for (const choice of document.querySelectorAll("[name=mode]")) {
  choice.addEventListener("change", () => mode(choice.value, choice.value === "chat" ? "completion" : "chat"));
}
$("fresh").addEventListener("click", () => {
  leave();
  chats.clear();
  $("answers").replaceChildren();
  say("A new chat.");
  $("prompt").focus();
});
$("prompt").addEventListener("keydown", event => {
  if (!isChat() || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$("form").addEventListener("submit", event => { event.preventDefault(); send(); });
$("stop").addEventListener("click", () => running?.abort());
$("key").addEventListener("change", async () => { if (await load()) say("The key fits."); });
addEventListener("resize", () => pool && drawMap());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => pool && drawMap());
const wish = new URLSearchParams(location.hash.slice(1));
if (wish.get("mode") === "chat") { document.forms.form.elements.mode.value = "chat"; mode("chat", "completion"); }
for (const id of ["prompt", "tokens", "temperature", "copies"]) if (wish.has(id)) $(id).value = wish.get(id);
load().then(known => { if (known && wish.has("send")) send(); watch(); });
