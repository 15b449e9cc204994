// The live page: it draws each snapshot of the feed, and holds no state of the worker itself.

const token = document.querySelector("meta[name=lab-token]").content;
const at = (id) => document.getElementById(id);
const JUST = 1600; // milliseconds for which a transition stays lit

function visible(text) {
  // Control characters, marks that turn the direction of writing, halves of surrogates: peers and functions choose these texts.
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (each) => `\\u{${each.codePointAt(0).toString(16)}}`);
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.map((child) => (typeof child === "string" ? visible(child) : child)));
  return made;
}

// -- diagrams ---------------------------------------------------------------------------------------------------------------

class Diagram {
  /** A chart's picture. Graphviz has put a title on each part: a state's id, or "A to B" for an arrow's label. */
  constructor(figure, source, states) {
    const drawn = new DOMParser().parseFromString(source, "image/svg+xml").documentElement;
    drawn.removeAttribute("width");
    drawn.removeAttribute("height");
    drawn.setAttribute("aria-hidden", "true");
    this.states = states;
    this.parts = new Map();
    for (const group of drawn.querySelectorAll("g")) {
      const title = group.querySelector(":scope > title");
      if (!title) continue;
      this.parts.set(title.textContent, [...(this.parts.get(title.textContent) ?? []), group]);
      title.remove();
      group.removeAttribute("id");
    }
    this.figure = figure;
    figure.append(drawn);
  }

  light(ids) {
    for (const lit of this.figure.querySelectorAll(".lit, .enclosing")) lit.classList.remove("lit", "enclosing");
    for (const id of ids) {
      for (const group of this.parts.get(id) ?? []) group.classList.add("lit");
      for (const group of this.parts.get(`cluster_${id}`) ?? []) group.classList.add("enclosing");
    }
    if (this.shown !== ids.join()) this.centre();
    this.shown = ids.join();
  }

  centre() {
    // On a narrow page the picture is wider than its frame: scroll to the lit state.
    const lit = this.figure.querySelector(".lit")?.getBoundingClientRect();
    const frame = this.figure.getBoundingClientRect();
    if (lit) this.figure.scrollLeft += lit.x + lit.width / 2 - (frame.x + frame.width / 2);
  }

  flash(source, target) {
    for (const from of this.withParents(source)) {
      const name = `${from} to ${target}`;
      const titles = [...this.parts.keys()].filter((title) => title === name || title.split("->").includes(name));
      if (!titles.length) continue;
      this.unflash();
      for (const group of titles.flatMap((title) => this.parts.get(title))) group.classList.add("just");
      this.timer = setTimeout(() => this.unflash(), JUST);
      return;
    }
  }

  unflash() {
    clearTimeout(this.timer);
    for (const group of this.figure.querySelectorAll(".just")) group.classList.remove("just");
  }

  withParents(id) {
    const state = this.states.find((each) => each.id === id);
    return state ? [id, ...this.withParents(state.parent)] : [];
  }
}

function idsOf(states, names) {
  // Two states in different boxes may share a name: a state is meant only if the names of its boxes are there too.
  const named = (state) => names.includes(state.name) && (state.parent === null || named(states.find((each) => each.id === state.parent)));
  return states.filter(named).map((state) => state.id);
}

function leaves(states, names) {
  const ids = idsOf(states, names);
  return states.filter((state) => ids.includes(state.id) && !states.some((each) => each.parent === state.id)).map((state) => state.name);
}

// -- what each snapshot changes ----------------------------------------------------------------------------------------------

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false }) + "." + String(Math.floor((seconds % 1) * 10));

function replaceAll(parent, children) {
  parent.replaceChildren(...children);
}

function showState(status) {
  const word = status ? [status.state, ...status.substates.slice(-1)].join(" · ") : "…";
  if (at("state").textContent !== word) {
    at("state").textContent = word;
    document.title = `${word} · worker`;
    const mood = { ACTIVE: "", DRAINING: "warn", CONNECTING: "warn", RECONNECTING: "bad", CLOSED: "bad" }[status?.state] ?? "";
    at("state").parentElement.className = `state ${mood}`;
  }
  const facts = [];
  if (status?.next_retry_in != null) facts.push(`next attempt in ${Number(status.next_retry_in).toFixed(1)} s`);
  if (status?.last_error && status.state !== "ACTIVE") facts.push(status.last_error);
  at("facts").textContent = visible(facts.join(" · "));
}

function span(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

function listed(names) {
  const most = 100;
  return names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");
}

let shownWorker = null;
function showWorker(status) {
  const worker = status?.worker;
  if (!worker) return;
  at("who").textContent = visible(`${worker.instance_id} · up ${span(status.uptime)}`);
  const gateway = status.links.find((link) => link.is_current)?.gateway;
  const facts = [
    ["instance id", worker.instance_id],
    ["process", `${worker.pid} on ${worker.host}, since ${new Date(worker.started_at * 1000).toLocaleString()}, isolation ${worker.isolation}`],
    ["server", [worker.api, worker.env ? `environment ${worker.env}` : worker.mode, gateway ? `gateway ${gateway}` : "no gateway"].join(" · ")],
    ...worker.apps.map((app) => ["app", `${app.app_id}${app.version ? ` ${app.version}` : ""}: ${listed(app.functions) || "no functions"}`]),
    ["versions", `connect ${worker.version} · inngest ${worker.sdk_version} · Python ${worker.python_version} · aiohttp ${worker.aiohttp_version}`],
  ];
  const known = JSON.stringify(facts);
  if (known === shownWorker) return; // the same text is not drawn again: someone may be copying it
  shownWorker = known;
  replaceAll(at("worker-facts"), facts.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function showLoad(status) {
  const threads = status?.threads;
  const facts = [];
  if (threads?.waiting) facts.push(`${threads.waiting} sync functions wait for one of ${threads.threads} threads`);
  if (status?.loop_blocks) facts.push(`the event loop was blocked ${status.loop_blocks} times`);
  at("load").textContent = facts.join(" · ");
}

function showFlight(status) {
  const rows = (status?.in_flight ?? []).slice(0, 100).map((request) => {
    const lease = element("td");
    if (request.lease_left != null && request.lease_left < 3600) {
      const left = Math.max(0, request.lease_left);
      lease.append(element("meter", { min: 0, max: 120, low: 30, value: left, "aria-label": "seconds left of its lease" }), ` ${left.toFixed(0)} s`);
    }
    return element("tr", {}, element("td", {}, request.function_slug), element("td", {}, request.state), element("td", {}, `${request.age.toFixed(1)} s`), lease);
  });
  replaceAll(at("flight"), rows);
  at("flight-count").textContent = status ? status.in_flight.length : "";
  at("outbox").textContent = status
    ? `outbox: ${status.outbox_replies} replies, ${status.outbox_bytes} bytes · received so far: ${status.requests_received}`
    : "";
}

function showMoments(moments) {
  for (const moment of moments) {
    const line = element("li", { class: moment.chart === "link" ? "link-move" : "" });
    line.append(element("time", {}, clock(moment.at)), visible(moment.event ? `${moment.text}  (${moment.event})` : moment.text));
    at("timeline").prepend(line);
  }
  while (at("timeline").children.length > 200) at("timeline").lastChild.remove();
}

function showWorld(world) {
  for (const id of ["skip", "world", "runs-section"]) at(id).hidden = !world;
  if (!world) return;
  const known = [...at("buttons").children].map((button) => button.value).join();
  if (known !== world.buttons.map((button) => button.name).join()) {
    replaceAll(at("buttons"), world.buttons.map((each) => {
      const button = element("button", { value: each.name, title: each.does, type: "button" }, each.label);
      button.addEventListener("click", () => press(`do/${each.name}`));
      return button;
    }));
  }
  world.buttons.forEach((each, index) => each.stays && at("buttons").children[index].setAttribute("aria-pressed", each.on));
  const options = [...at("function").options].map((option) => option.value).join();
  if (options !== world.functions.join()) replaceAll(at("function"), world.functions.map((name) => element("option", { value: name }, name)));
  replaceAll(at("runs"), world.runs.toReversed().map((run) => {
    const steps = run.steps.map((step) => `${step.failed ? "✗" : "✓"} ${step.name}`).join("  ");
    const output = run.output == null ? "" : ` → ${JSON.stringify(run.output)}`;
    return element("li", {}, element("b", { class: run.status }, run.status), ` ${run.function}  ${steps}${output}`);
  }));
}

function showCoverage(charts, taken) {
  const seen = new Set(taken.map((each) => [each.chart, each.event, each.source, each.target].join()));
  const missing = [];
  let all = 0;
  for (const [name, chart] of Object.entries(charts)) {
    for (const edge of chart.edges) {
      all += 1;
      const target = edge.targets[0] ?? edge.source;
      if (!seen.has([name, edge.event, edge.source, target].join())) {
        missing.push(`${name}: ${edge.source} — ${edge.event || "always"}${edge.guard ? ` [${edge.guard}]` : ""} → ${edge.targets.join() || "stays"}`);
      }
    }
  }
  at("coverage-count").textContent = `${all - missing.length} of ${all}`;
  if (at("missing").childElementCount !== missing.length) replaceAll(at("missing"), missing.map((line) => element("li", {}, line)));
}

let lastBeat = null;
function showPulse(beat) {
  if (beat === lastBeat || beat == null) return;
  lastBeat = beat;
  at("pulse-text").textContent = `last heartbeat answered at ${clock(beat)}`;
  at("pulse").classList.remove("beat");
  requestAnimationFrame(() => at("pulse").classList.add("beat"));
}

// -- links -------------------------------------------------------------------------------------------------------------------

const links = new Map();
function showLinks(charts, source, status) {
  const present = new Map((status?.links ?? []).map((link, index) => [link.connection_id || `new ${index}`, link]));
  for (const [id, shown] of links) {
    if (!present.has(id)) {
      shown.figure.remove();
      links.delete(id);
    }
  }
  at("no-links").hidden = present.size > 0;
  for (const [id, link] of present) {
    if (!links.has(id)) {
      const figure = element("figure", { class: "chart", tabindex: 0 }, element("figcaption"));
      at("link-charts").append(figure);
      links.set(id, new Diagram(figure, source, charts.link.states));
    }
    const diagram = links.get(id);
    const words = visible(`${link.connection_id || "being made"} · ${link.gateway_group || "no gateway yet"} · ${link.is_current ? "in use" : "not in use"} · ${leaves(charts.link.states, link.states).join(" · ")}`);
    diagram.figure.querySelector("figcaption").textContent = words;
    diagram.figure.setAttribute("aria-label", `A link: ${words}`);
    diagram.light(idsOf(charts.link.states, link.states));
  }
}

// -- buttons -----------------------------------------------------------------------------------------------------------------

async function press(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "X-Lab-Token": token }, body }).catch((error) => ({ ok: false, text: () => String(error) }));
  at("complaint").textContent = answer.ok ? "" : visible((await answer.text()).trim());
}

at("invoke").addEventListener("submit", async (event) => {
  event.preventDefault();
  let data;
  try {
    data = JSON.parse(at("data").value || "{}");
  } catch (error) {
    at("complaint").textContent = `The event's data is no JSON: ${error.message}`;
    return;
  }
  const times = Number(event.submitter?.value || 1);
  for (let count = 0; count < times; count += 1) await press("invoke", JSON.stringify({ function: at("function").value, data }));
});

// -- the feed ----------------------------------------------------------------------------------------------------------------

const [charts, connectionSource, linkSource] = await Promise.all([
  fetch("charts.json").then((answer) => answer.json()),
  fetch("connection.svg").then((answer) => answer.text()),
  fetch("link.svg").then((answer) => answer.text()),
]);
const lifecycle = new Diagram(at("connection"), connectionSource, charts.connection.states);
let first = true;

function show(snapshot) {
  showState(snapshot.status);
  showFlight(snapshot.status);
  showLoad(snapshot.status);
  showWorker(snapshot.status);
  showMoments(snapshot.moments);
  showWorld(snapshot.world);
  showCoverage(charts, snapshot.taken);
  showPulse(snapshot.beat);
  showLinks(charts, linkSource, snapshot.status);
  const status = snapshot.status;
  lifecycle.light(status ? idsOf(charts.connection.states, [status.state, ...status.substates]) : []);
  if (!first) {
    for (const moment of snapshot.moments) {
      if (moment.chart === "connection") lifecycle.flash(moment.source, moment.target);
      if (moment.chart === "link") links.get(moment.link)?.flash(moment.source, moment.target);
    }
  }
  first = false;
}

let session = null;
const feed = new EventSource("feed");
feed.addEventListener("message", (message) => {
  const snapshot = JSON.parse(message.data);
  session ??= snapshot.session;
  if (snapshot.session === session) show(snapshot);
  else location.reload(); // another process serves the page now: this page's timeline and token are the old process's
});
feed.addEventListener("open", () => { at("away").hidden = true; });
feed.addEventListener("error", () => { at("away").hidden = false; });
