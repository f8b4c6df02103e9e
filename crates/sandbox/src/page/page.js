// The page of the sandbox. It gets entries of the record (crates/sandbox/src/record/entry.rs) from a
// stream, or from the element `recording`, and shows them. Texts of scripts and services come into the
// document by `textContent` only.
"use strict";

(() => {
  // ---- Words and signs ---------------------------------------------------------------------------

  const LANES_MAX = 1000;
  const CALLS_MAX = 300;
  const RUNS_MAX = 3000;
  const SPAN_MIN = 100;
  const SPAN_MAX = 24 * 3600e3;
  const COMMAND_EVENT = "EC2 Command Status-change Notification";
  const EXECUTION_EVENT = "Step Functions Execution Status Change";

  // Lines on a grid of 16 by 16. One set for the canvas and for icons.
  const SIGNS = {
    check: "M3 8.5l3.4 3.5L13 4.5",
    cross: "M4 4l8 8M12 4l-8 8",
    clock: "M8 2a6 6 0 1 0 .01 0M8 5v3.4l2.4 1.6",
    slash: "M8 2a6 6 0 1 0 .01 0M4 12l8-8",
    half: "M8 2a6 6 0 1 0 .01 0M8 2v12",
    wait: "M3 8h.01M8 8h.01M13 8h.01",
    play: "M5 3.5l7 4.5-7 4.5z",
    send: "M2.5 3l11 5-11 5 2.6-5z",
    event: "M8 3.2a4.8 4.8 0 1 0 .01 0z",
    double: "M5.8 4.2a3.8 3.8 0 1 0 .01 0zM10.2 4.2a3.8 3.8 0 1 0 .01 0z",
    late: "M8 3.2a4.8 4.8 0 1 0 .01 0zM8 5.4v2.8h2.2",
    read: "M6.8 2.8a4 4 0 1 0 .01 0zM9.8 9.8l3.7 3.7",
    next: "M2 8h10.5M9 4.5l3.5 3.5L9 11.5",
    beat: "M8 6.4a1.6 1.6 0 1 0 .01 0z",
    flag: "M4 14V2.5h8l-2 3 2 3H4",
    skull: "M8 2a6 6 0 1 0 .01 0M5.5 5.5l5 5M10.5 5.5l-5 5",
  };
  const STATUSES = {
    Pending: ["pending", "wait"],
    InProgress: ["running", "play"],
    Cancelling: ["running", "slash"],
    Success: ["success", "check"],
    Failed: ["failed", "cross"],
    Undeliverable: ["failed", "cross"],
    InvalidPlatform: ["failed", "cross"],
    AccessDenied: ["failed", "cross"],
    ExecutionTimedOut: ["timeout", "clock"],
    DeliveryTimedOut: ["timeout", "clock"],
    Incomplete: ["timeout", "half"],
    NoInstancesInTag: ["timeout", "half"],
    Cancelled: ["cancelled", "slash"],
    Terminated: ["cancelled", "slash"],
    RUNNING: ["running", "play"],
    SUCCEEDED: ["success", "check"],
    FAILED: ["failed", "cross"],
    ABORTED: ["cancelled", "slash"],
    TIMED_OUT: ["timeout", "clock"],
  };
  const look = (status) => STATUSES[status] ?? ["pending", "wait"];
  const hasEnded = (status) => !["Pending", "InProgress", "Cancelling", "RUNNING"].includes(status);

  // What a mark looks like: sign, colour, filled or not, dashed or not, and its words in the legend.
  const MARKS = {
    sent: ["send", "text", true, false, "SendCommand"],
    event: ["event", "text", true, false, "event"],
    lost: ["event", "failed", false, true, "event that was lost"],
    doubled: ["double", "text", false, false, "event, delivered twice"],
    late: ["late", "timeout", false, false, "event that is late"],
    read: ["read", "muted", false, false, "read by the relay or the sweep"],
    refused: ["flag", "failed", false, false, "call that failed"],
    answered: ["check", "success", "box", false, "answer: success"],
    failed: ["cross", "failed", "box", false, "answer: failure"],
    beat: ["beat", "muted", true, false, "heartbeat"],
    cancel: ["cross", "cancelled", false, false, "cancel or stop"],
  };

  const byId = (id) => document.getElementById(id);
  const shortId = (id) => (id ?? "").split("-")[0];
  const nameOf = (arn) => (arn ?? "").split(":").pop();
  const functionName = (name) => name.replace(/^run-command-relay-/, "");
  // Without the name of the stack and what CloudFormation appends.
  const ruleName = (name) => functionName(name).replace(/-[A-Z0-9]{12,}$/, "");
  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
  const pad = (number, digits) => String(number).padStart(digits, "0");

  function clock(time, precision = 1000) {
    const date = new Date(time);
    const text = `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}`;
    return precision < 1000 ? `${text}.${pad(date.getMilliseconds(), 3)}` : text;
  }

  function duration(ms) {
    if (ms < 1000) return `${Math.round(ms)} ms`;
    if (ms < 60e3) return `${(ms / 1000).toFixed(ms < 10e3 ? 1 : 0)} s`;
    if (ms < 3600e3) return `${Math.floor(ms / 60e3)} min ${Math.round((ms % 60e3) / 1000)} s`;
    return `${(ms / 3600e3).toFixed(1)} h`;
  }

  function el(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function icon(sign, colour, filled = false, dashed = false) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("class", `icon is-${colour}`);
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", SIGNS[sign]);
    path.setAttribute("stroke", "currentColor");
    path.setAttribute("stroke-width", "1.8");
    path.setAttribute("stroke-linecap", "round");
    path.setAttribute("stroke-linejoin", "round");
    path.setAttribute("fill", filled === true ? "currentColor" : "none");
    if (dashed) path.setAttribute("stroke-dasharray", "2.4 2.8");
    svg.append(path);
    if (filled === "box") {
      const box = document.createElementNS(space, "rect");
      for (const [name, value] of Object.entries({ x: 0.5, y: 0.5, width: 15, height: 15, rx: 3.5 })) {
        box.setAttribute(name, value);
      }
      box.setAttribute("fill", "none");
      box.setAttribute("stroke", "currentColor");
      box.setAttribute("stroke-width", "1.4");
      path.setAttribute("transform", "translate(2.4 2.4) scale(0.7)");
      svg.prepend(box);
    }
    return svg;
  }

  function pill(status) {
    const [colour, sign] = look(status);
    return el("span", { className: `pill is-${colour}` }, icon(sign, colour), status);
  }

  // ---- What has happened --------------------------------------------------------------------------

  let model;
  let about = { run: null, documents: [], functions: [], node_tag: ["", ""] };
  let state = { nodes: [], faults: [] };

  function reset() {
    model = {
      // Oldest first. A lane is a command, or an execution that has sent none yet.
      lanes: [],
      byCommand: new Map(),
      executions: new Map(),
      tasks: new Map(),
      events: new Map(),
      functions: new Map(),
      requests: new Map(),
      faults: [],
      running: new Map(),
      lost: 0,
      first: Infinity,
      last: -Infinity,
    };
  }

  function newLane(begun) {
    const lane = {
      key: `lane-${++newLane.count}`,
      begun,
      ended: null,
      command: null,
      execution: null,
      document: "",
      comment: "",
      script: null,
      task: null,
      status: "Pending",
      targets: 0,
      nodes: new Map(),
      marks: [],
      calls: [],
      answer: null,
      version: 0,
    };
    model.lanes.push(lane);
    if (model.lanes.length > LANES_MAX) forget(model.lanes.shift());
    return lane;
  }
  newLane.count = 0;

  function forget(lane) {
    model.byCommand.delete(lane.command);
    for (const call of lane.calls) model.events.delete(call.event);
    const execution = lane.execution;
    if (execution) {
      execution.lanes = execution.lanes.filter((other) => other !== lane);
      if (execution.lanes.length === 0) model.executions.delete(execution.arn);
    }
    model.tasks.delete(lane.task);
  }

  function executionOf(arn) {
    let execution = model.executions.get(arn);
    if (!execution) {
      execution = { arn, begun: null, ended: null, status: "RUNNING", states: [], lanes: [], got: null, input: null, error: null, cause: null, output: null };
      model.executions.set(arn, execution);
    }
    return execution;
  }

  function laneOfCommand(command, time) {
    let lane = model.byCommand.get(command);
    if (!lane) {
      lane = newLane(time);
      lane.command = command;
      model.byCommand.set(command, lane);
    }
    return lane;
  }

  function join(lane, execution) {
    if (lane.execution) return;
    // The lane that the execution had before it sent a command, if the command came first.
    const empty = lane.command && execution.lanes.find((other) => other.command === null);
    if (empty) {
      lane.begun = Math.min(lane.begun, empty.begun);
      lane.calls.unshift(...empty.calls);
      execution.lanes = execution.lanes.filter((other) => other !== empty);
      model.lanes = model.lanes.filter((other) => other !== empty);
    }
    lane.execution = execution;
    execution.lanes.push(lane);
    changed(lane);
  }

  function laneOf(entry) {
    if (entry.command_id) return model.byCommand.get(entry.command_id);
    const task = model.tasks.get(entry.task);
    if (task?.lane) return task.lane;
    const arn = entry.execution ?? task?.execution;
    return arn ? model.executions.get(arn)?.lanes.at(-1) : undefined;
  }

  function changed(lane) {
    if (lane) lane.version++;
  }

  function tell(lane, at, who, what, result, more = {}) {
    const last = lane.calls.at(-1);
    if (last && last.who === who && last.what === what && last.result === result && !more.event) {
      last.count++;
      last.until = at;
      return changed(lane);
    }
    lane.calls.push({ at, who, what, result, count: 1, ...more });
    // A long script has many heartbeats: the first and the last calls matter most.
    if (lane.calls.length > CALLS_MAX) lane.calls.splice(CALLS_MAX / 2, 1);
    changed(lane);
  }

  function mark(lane, at, kind, words) {
    const place = lane.marks.findLastIndex((other) => other.at <= at) + 1;
    const before = lane.marks[place - 1];
    if (kind === "read" && before?.kind === "read" && before.by === words.by) {
      before.count++;
      return;
    }
    lane.marks.splice(place, 0, { at, kind, count: 1, x: null, ...words });
    if (lane.marks.length > CALLS_MAX) lane.marks.splice(CALLS_MAX / 2, 1);
  }

  function functionOf(name) {
    let found = model.functions.get(name);
    if (!found) {
      found = { name, runs: [], ticks: [] };
      model.functions.set(name, found);
    }
    return found;
  }

  const apply = {
    "command-sent"(entry, at) {
      const task = model.tasks.get(entry.task);
      const execution = task?.execution ? executionOf(task.execution) : null;
      let lane = execution?.lanes.find((other) => other.command === null);
      if (lane) {
        lane.command = entry.command_id;
        model.byCommand.set(entry.command_id, lane);
      } else {
        lane = laneOfCommand(entry.command_id, at);
      }
      lane.document = entry.document;
      lane.comment = entry.comment ?? "";
      lane.script = entry.script ?? null;
      lane.task = entry.task ?? null;
      if (entry.task) model.tasks.set(entry.task, { ...task, lane });
      if (execution) join(lane, execution);
      mark(lane, at, "sent", { text: "SendCommand" });
      tell(lane, at, execution ? "state machine" : "caller", "SendCommand", "taken");
    },
    command(entry, at) {
      const lane = laneOfCommand(entry.command_id, at);
      lane.status = entry.status;
      lane.targets = entry.targets;
      if (hasEnded(entry.status)) {
        lane.ended = at;
        announce(`Command ${shortId(lane.command)} ended: ${entry.status}.`);
      }
      changed(lane);
    },
    node(entry, at) {
      const lane = laneOfCommand(entry.command_id, at);
      let node = lane.nodes.get(entry.node);
      if (!node) {
        node = { id: entry.node, begun: at, ended: null };
        lane.nodes.set(entry.node, node);
      }
      Object.assign(node, {
        status: entry.status,
        exit: entry.exit_code,
        stdout: entry.stdout,
        stderr: entry.stderr,
        trace: entry.trace_output,
      });
      const running = model.running.get(entry.node) ?? new Set();
      model.running.set(entry.node, running);
      if (hasEnded(entry.status)) {
        node.ended = at;
        running.delete(entry.command_id);
      } else {
        running.add(entry.command_id);
      }
      changed(lane);
    },
    task(entry) {
      const known = model.tasks.get(entry.task);
      model.tasks.set(entry.task, { ...known, execution: entry.execution });
      // Most are of lanes, and go with them.
      if (model.tasks.size > 5 * LANES_MAX) model.tasks.delete(model.tasks.keys().next().value);
      if (known?.lane) join(known.lane, executionOf(entry.execution));
    },
    history(entry) {
      const at = Date.parse(entry.at);
      const execution = executionOf(entry.execution);
      const type = entry.type;
      if (type === "ExecutionStarted") {
        execution.begun = at;
        execution.input = entry.input;
        if (execution.lanes.length === 0) join(newLane(at), execution);
      } else if (type.endsWith("StateEntered")) {
        // The event of its end may come before its last states.
        const to = execution.ended === null ? null : Math.max(at, execution.ended);
        execution.states.push({ name: entry.state, from: at, to, task: type.startsWith("Task") });
      } else if (type.endsWith("StateExited")) {
        const left = execution.states.findLast((other) => other.name === entry.state && other.to === null);
        if (left) left.to = at;
      } else if (/^Task(Succeeded|Failed|TimedOut)$/.test(type)) {
        execution.got = { at, type, error: entry.error, cause: entry.cause, output: entry.output };
        for (const lane of execution.lanes) lane.got ??= execution.got;
        const waiting = execution.states.findLast((other) => other.task && other.to === null);
        if (waiting && type !== "TaskSucceeded") waiting.to = at;
      } else if (/^Execution(Succeeded|Failed|Aborted|TimedOut)$/.test(type)) {
        endExecution(execution, type.slice(9).replace("TimedOut", "TIMED_OUT").toUpperCase(), at);
        execution.error = entry.error;
        execution.cause = entry.cause;
        execution.output = entry.output;
      }
      execution.lanes.forEach(changed);
    },
    event(entry, at) {
      if (![COMMAND_EVENT, EXECUTION_EVENT].includes(entry.detail_type)) return;
      const ofExecution = entry.detail_type === EXECUTION_EVENT;
      if (ofExecution) {
        const known = model.executions.get(entry.execution);
        if (known && hasEnded(entry.status)) endExecution(known, entry.status, at);
      }
      // Nothing follows from a command or an execution that runs.
      if (!hasEnded(entry.status)) return;
      const lane = laneOf(entry);
      if (!lane) return;
      const copies = entry.copies_ms;
      const late = Math.max(0, ...copies);
      const kind = copies.length === 0 ? "lost" : copies.length > 1 ? "doubled" : late > 100 ? "late" : "event";
      const words = { lost: "lost", doubled: "delivered twice", late: `${duration(late)} late`, event: "delivered" }[kind];
      const what = ofExecution ? "event: execution" : "event: command";
      // Nobody waits for the event of an execution that succeeded.
      if (!ofExecution || entry.status !== "SUCCEEDED") {
        if (kind === "lost") model.lost++;
        mark(lane, at, kind, { text: `${what} ${entry.status}, ${words}`, until: late > 100 ? at + late : null });
      }
      const call = { event: entry.event };
      tell(lane, at, "EventBridge", `${what} ${entry.status}`, entry.outcome ?? words, call);
      model.events.set(entry.event, lane);
    },
    delivery(entry, at) {
      const name = nameOf(entry.target);
      if (entry.detail_type === "Scheduled Event" && entry.target) {
        functionOf(name).ticks.push(at);
        if (functionOf(name).ticks.length > RUNS_MAX) functionOf(name).ticks.shift();
        return;
      }
      const lane = model.events.get(entry.event);
      if (lane) tell(lane, at, "EventBridge", `rule ${ruleName(entry.rule ?? "?")}`, `${entry.outcome}${name ? `: ${functionName(name)}` : ""}`);
    },
    "invocation-begun"(entry, at) {
      const run = { from: at, to: null, cold: entry.cold, attempt: entry.attempt, outcome: null, killed: false, event: entry.event };
      const owner = functionOf(entry.function);
      owner.runs.push(run);
      if (owner.runs.length > RUNS_MAX) owner.runs.shift();
      model.requests.set(entry.request_id, run);
    },
    invocation(entry, at) {
      const run = model.requests.get(entry.request_id) ?? { from: at, attempt: entry.attempt };
      if (!model.requests.delete(entry.request_id)) functionOf(entry.function).runs.push(run);
      Object.assign(run, { to: at, outcome: entry.outcome, killed: entry.killed });
      const lane = model.events.get(run.event);
      if (lane) tell(lane, at, functionName(entry.function), `invocation, attempt ${entry.attempt ?? 1}`, entry.killed ? "killed" : entry.outcome);
    },
    call(entry, at) {
      const lane = laneOf(entry);
      if (!lane) return;
      const by = (entry.caller ?? "").startsWith("function:") ? functionName(entry.caller.slice(9)) : "";
      const who = by || entry.caller || (entry.operation === "SendCommand" && entry.task ? "state machine" : "caller");
      const failed = entry.status >= 400;
      const result = failed ? `${entry.error ?? entry.status}${entry.fault ? " (on demand)" : ""}` : "ok";
      const text = `${who}: ${entry.operation}${failed ? `, ${result}` : ""}`;
      // It is told when Run Command takes it.
      if (entry.operation === "SendCommand" && !failed) return;
      tell(lane, at, who, entry.operation, result);
      // It is recorded with its answer, and drawn where it began.
      at -= entry.ms;
      const isClosed = entry.error === "TaskTimedOut";
      if (failed && !isClosed) {
        mark(lane, at, "refused", { text });
      } else if (entry.operation === "SendTaskHeartbeat") {
        mark(lane, at, "beat", { text: isClosed ? `${who}: heartbeat, the task is closed` : `${who}: heartbeat` });
      } else if (["CancelCommand", "StopExecution"].includes(entry.operation)) {
        mark(lane, at, "cancel", { text });
      } else if (["SendTaskSuccess", "SendTaskFailure"].includes(entry.operation)) {
        if (isClosed) return;
        const kind = entry.operation === "SendTaskSuccess" ? "answered" : "failed";
        lane.answer = { at: at + entry.ms, by: who, kind };
        mark(lane, at, kind, { text: `${who} answers: ${kind === "answered" ? "success" : "failure"}`, by: who });
        announce(`Command ${shortId(lane.command)} answered by ${who}.`);
      } else if (by) {
        mark(lane, at, "read", { text: `read by ${by}`, by });
      }
    },
    fault(entry, at) {
      const text = entry.fault.replace("run-command-relay-", "the ");
      model.faults.push({ at, text, on: entry.on });
      if (model.faults.length > RUNS_MAX) model.faults.shift();
    },
  };

  function endExecution(execution, status, at) {
    if (execution.ended !== null) return;
    execution.status = status;
    execution.ended = at;
    for (const open of execution.states) open.to ??= at;
    execution.lanes.forEach(changed);
  }

  function add(entry) {
    const at = Date.parse(entry.time);
    model.first = Math.min(model.first, at);
    model.last = Math.max(model.last, at);
    apply[entry.kind]?.(entry, at);
  }

  // ---- What is seen -------------------------------------------------------------------------------

  const frame = byId("frame");
  const canvas = byId("canvas");
  const view = byId("view");
  const lanesElement = byId("lanes");
  const tip = byId("tip");
  const context = canvas.getContext("2d");
  const paths = Object.fromEntries(Object.entries(SIGNS).map(([name, d]) => [name, new Path2D(d)]));
  const isRecording = byId("recording") !== null;

  const shown = { live: !isRecording, end: Date.now(), span: 30e3, chosen: null, opened: null };
  let colours = {};
  let size = { width: 0, height: 0, label: 0, lane: 54, strip: 20, top: 0, isNarrow: false };
  let isDirty = true;
  let lastNews = 0;

  const now = () => (isRecording ? model.last : Date.now());
  // The present has room at its right for marks that are pushed there and for their words.
  const room = () => Math.min(0.26, 180 / Math.max(1, size.width - size.label));
  const right = () => (shown.live ? now() + shown.span * room() : shown.end);
  const left = () => right() - shown.span;
  const xOf = (time) => size.label + ((time - left()) / shown.span) * (size.width - size.label);
  const timeOf = (x) => left() + ((x - size.label) / (size.width - size.label)) * shown.span;
  const strips = () => {
    const names = about.functions.length ? about.functions : [...model.functions.keys()];
    const found = names.map(functionOf);
    return model.faults.length ? [{ name: "faults" }, ...found] : found;
  };

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["card", "line", "grid", "text", "muted", "accent", "chosen", "band", "success", "failed", "timeout", "cancelled", "running", "pending", "sweep"];
    colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    isDirty = true;
  }

  // Below the axis and the strips.
  const topOf = (strip) => 24 + strips().length * strip + 4;

  function measure() {
    const ratio = window.devicePixelRatio || 1;
    const width = view.clientWidth;
    const height = frame.clientHeight;
    const isNarrow = width < 640;
    const strip = isNarrow ? 26 : 20;
    size = { width, height, label: isNarrow ? 0 : 196, lane: isNarrow ? 72 : 54, strip, top: topOf(strip), isNarrow };
    view.style.top = `${size.top}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    isDirty = true;
  }

  function sign(name, x, y, extent, colour, filled = false, dashed = false) {
    context.save();
    context.translate(x - extent / 2, y - extent / 2);
    if (filled === "box") {
      context.fillStyle = colour;
      context.beginPath();
      context.roundRect(0, 0, extent, extent, 3);
      context.fill();
      context.translate(extent * 0.16, extent * 0.16);
      context.scale(0.68, 0.68);
      colour = colours.card;
    }
    context.scale(extent / 16, extent / 16);
    context.lineWidth = filled === "box" ? 2.6 : 1.9;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.strokeStyle = colour;
    context.fillStyle = colour;
    context.setLineDash(dashed ? [2.4, 2.8] : []);
    if (filled === true) context.fill(paths[name]);
    context.stroke(paths[name]);
    context.restore();
  }

  function write(text, x, y, { colour = colours.text, weight = 400, points = 12, most = Infinity, align = "left", mono = false } = {}) {
    context.font = `${weight} ${points}px ${mono ? "ui-monospace, 'DejaVu Sans Mono', monospace" : "system-ui, 'Segoe UI', Roboto, Arial, sans-serif"}`;
    context.fillStyle = colour;
    context.textAlign = align;
    context.textBaseline = "middle";
    let fitting = text;
    if (context.measureText(text).width > most) {
      let length = text.length;
      while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > most) length--;
      fitting = length > 1 ? `${text.slice(0, length)}…` : "";
    }
    context.fillText(fitting, x, y);
    return context.measureText(fitting).width;
  }

  function clip(x, y, width, height, paint) {
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    paint();
    context.restore();
  }

  const STEPS = [10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3, 7200e3, 21600e3];

  function drawAxis() {
    const room = size.isNarrow ? 76 : 96;
    const step = STEPS.find((step) => (step / shown.span) * (size.width - size.label) >= room) ?? STEPS.at(-1);
    const zone = new Date().getTimezoneOffset() * 60e3;
    const first = Math.ceil((left() - zone) / step) * step + zone;
    context.lineWidth = 1;
    clip(size.label, 0, size.width - size.label, size.height, () => {
      for (let time = first; time < right(); time += step) {
        const x = Math.round(xOf(time)) + 0.5;
        context.strokeStyle = colours.grid;
        context.beginPath();
        context.moveTo(x, 22);
        context.lineTo(x, size.height);
        context.stroke();
        if (x - 30 < size.label || x + 30 > size.width) continue;
        write(clock(time, step), x, 12, { colour: colours.muted, points: 11, align: "center" });
      }
      drawTicks();
      if (shown.live && !isRecording) {
        const x = Math.round(xOf(now())) + 0.5;
        context.strokeStyle = colours.accent;
        context.beginPath();
        context.moveTo(x, 22);
        context.lineTo(x, size.height);
        context.stroke();
      }
    });
  }

  // A scheduled sweep is a line through all lanes.
  function drawTicks() {
    context.save();
    context.setLineDash([2, 4]);
    context.strokeStyle = colours.sweep;
    context.globalAlpha = 0.65;
    for (const { ticks } of model.functions.values()) {
      for (const tick of ticks) {
        if (tick < left() || tick > right()) continue;
        const x = Math.round(xOf(tick)) + 0.5;
        context.beginPath();
        context.moveTo(x, 24);
        context.lineTo(x, size.height);
        context.stroke();
      }
    }
    context.restore();
  }

  function drawStrips() {
    const height = size.strip;
    let y = 24;
    for (const strip of strips()) {
      const middle = y + height - 9;
      clip(size.label, y, size.width - size.label, height, () => {
        if (strip.runs) strip.runs.forEach((run) => drawRun(run, strip, middle));
        else drawFaults(middle);
      });
      const last = strip.runs?.findLast((run) => run.from <= right() && run.from >= left());
      if (size.isNarrow) {
        write(functionName(strip.name), 8, y + 7, { colour: colours.muted, points: 11, weight: 600 });
      } else {
        write(functionName(strip.name), 16, middle, { colour: colours.text, points: 12, weight: 600 });
        const note = strip.runs ? (last?.cold ? "cold start" : "") : "";
        write(note, size.label - 12, middle, { colour: colours.muted, points: 11, align: "right" });
      }
      y += height;
    }
    context.strokeStyle = colours.line;
    context.beginPath();
    context.moveTo(0, size.top - 0.5);
    context.lineTo(size.width, size.top - 0.5);
    context.stroke();
  }

  function drawRun(run, strip, middle) {
    const from = xOf(run.from);
    const to = Math.max(from + 4, xOf(run.to ?? now()));
    if (to < size.label || from > size.width) return;
    const failed = run.outcome !== null && run.outcome !== "done";
    const isSweep = strip.ticks.length > 0 || strip.name.endsWith("sweep");
    const colour = failed ? colours.failed : isSweep ? colours.sweep : colours.accent;
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(from, middle - 5, to - from, 10, 2);
    context.fill();
    if (failed) sign(run.killed ? "skull" : "cross", to + 8, middle, 11, colour);
    if (failed && run.killed) write("killed", to + 16, middle, { colour, points: 11 });
  }

  function drawFaults(middle) {
    const begun = new Map();
    const bars = [];
    for (const fault of model.faults) {
      if (fault.on) {
        // These happen once, or end by themselves.
        const length = fault.text === "throttle calls" ? 10e3 : /^(lose the next|kill)/.test(fault.text) ? 0 : null;
        const bar = { text: fault.text, from: fault.at, to: length === null ? now() : fault.at + length, open: length === null };
        bars.push(bar);
        begun.set(fault.text, bar);
      } else {
        const bar = begun.get(fault.text) ?? begun.get(fault.text.replace("started", "stopped"));
        if (bar) Object.assign(bar, { to: fault.at, open: false });
      }
    }
    // Those that begin together have one flag.
    const flags = [];
    for (const { text, from, to } of bars) {
      const [begin, end] = [xOf(from), xOf(to)];
      if (end < size.label - 300 || begin > size.width) continue;
      context.fillStyle = colours.failed;
      context.globalAlpha = 0.16;
      context.fillRect(begin, middle - 8, Math.max(0, end - begin), 16);
      context.globalAlpha = 1;
      const last = flags.at(-1);
      if (last && begin - last.begin < 14) last.text += `, ${text}`;
      else if (end > size.label || begin > size.label - 14) flags.push({ begin: Math.max(begin, size.label + 2), text });
    }
    flags.forEach(({ begin, text }, number) => {
      const most = (flags[number + 1]?.begin ?? Infinity) - begin - 20;
      sign("flag", begin + 5, middle, 11, colours.failed);
      write(text, begin + 14, middle, { colour: colours.failed, points: 11, most });
    });
  }

  function drawLane(lane, y) {
    const isOpened = lane === shown.opened;
    context.fillStyle = isOpened ? colours.chosen : colours.card;
    if (isOpened) context.fillRect(0, y, size.width, size.lane - 1);
    const [colour, statusSign] = look(lane.command ? lane.status : lane.execution?.status ?? "Pending");
    const title = lane.command ? shortId(lane.command) : nameOf(lane.execution?.arn).slice(0, 8);
    const status = lane.command ? lane.status : `no command, ${lane.execution?.status ?? ""}`;
    const nodes = lane.command && lane.targets !== 1 ? plural(lane.targets, "node") : "";
    if (size.isNarrow) {
      sign(statusSign, 15, y + 11, 12, colours[colour]);
      let x = 27;
      x += write(title, x, y + 11, { mono: true, points: 12, weight: 600 }) + 8;
      x += write(status, x, y + 11, { colour: colours[colour], points: 12, weight: 600 }) + 8;
      write(nodes, x, y + 11, { colour: colours.muted, points: 12 });
    } else {
      sign(statusSign, 23, y + 17, 13, colours[colour]);
      write(title, 38, y + 17, { mono: true, points: 12.5, weight: 600 });
      write(nodes, size.label - 12, y + 17, { colour: colours.muted, points: 11.5, align: "right" });
      write(status, 38, y + 35, { colour: colours[colour], points: 12, weight: 600, most: size.label - 48 });
    }
    const top = y + (size.isNarrow ? 20 : 3);
    clip(size.label, y, size.width - size.label, size.lane, () => {
      drawStates(lane, top);
      drawScripts(lane, top + 17);
      drawMarks(lane, top + 39);
    });
    context.strokeStyle = colours.grid;
    context.beginPath();
    context.moveTo(0, y + size.lane - 0.5);
    context.lineTo(size.width, y + size.lane - 0.5);
    context.stroke();
  }

  // The time that a state takes: a band with its name. The task's is as long as it waits.
  function drawStates(lane, top) {
    for (const { name, from, to, task } of lane.execution?.states ?? []) {
      const begin = xOf(from);
      const end = Math.max(begin + 1.5, xOf(to ?? now()));
      if (end < size.label || begin > size.width) continue;
      context.fillStyle = colours.band;
      context.strokeStyle = task ? colours.muted : colours.line;
      context.lineWidth = 1;
      context.beginPath();
      context.roundRect(begin, top, end - begin, task ? 46 : 14, 3);
      if (task) {
        context.globalAlpha = 0.55;
        context.fill();
        context.globalAlpha = 1;
      }
      context.stroke();
      const x = Math.max(begin, size.label) + 6;
      if (end - x > 34) write(name, x, top + 8, { colour: colours.muted, points: 11, most: end - x - 4 });
    }
  }

  // A bar for each node, or one for all of them.
  function drawScripts(lane, top) {
    const nodes = [...lane.nodes.values()];
    if (nodes.length === 0) return;
    if (nodes.length > 3) return drawFolded(lane, nodes, top);
    const height = nodes.length === 1 ? 13 : nodes.length === 2 ? 6 : 4;
    nodes.forEach((node, number) => {
      drawBar(node.status, node.begun, node.ended, top + number * (height + 1), height);
    });
    const last = nodes.reduce((a, b) => ((a.ended ?? Infinity) >= (b.ended ?? Infinity) ? a : b));
    drawBarSign(lane.status, nodes[0].begun, last.ended, top, 14);
  }

  function drawBar(status, begun, ended, top, height) {
    const [begin, end] = [xOf(begun), Math.max(xOf(begun) + 3, xOf(ended ?? now()))];
    const [colour] = look(status);
    context.fillStyle = colours[colour];
    context.beginPath();
    context.roundRect(begin, top, end - begin, height, 2);
    context.fill();
    if (ended === null) {
      // Stripes: it runs.
      context.save();
      context.clip();
      context.strokeStyle = colours.card;
      context.globalAlpha = 0.45;
      context.lineWidth = 2;
      for (let x = Math.max(begin, size.label) - height; x < Math.min(end, size.width); x += 8) {
        context.beginPath();
        context.moveTo(x, top + height);
        context.lineTo(x + height, top);
        context.stroke();
      }
      context.restore();
    }
  }

  // The sign of the status, inside the bar if there is room.
  function drawBarSign(status, begun, ended, top, height) {
    if (ended === null) return;
    const [colour, name] = look(status);
    const [begin, end] = [xOf(begun), xOf(ended)];
    const fits = end - begin > 22;
    sign(name, fits ? end - 9 : Math.max(end, begin + 3) + 9, top + height / 2, 10, fits ? colours.card : colours[colour]);
  }

  function drawFolded(lane, nodes, top) {
    const begun = Math.min(...nodes.map((node) => node.begun));
    const open = nodes.some((node) => node.ended === null);
    const ended = open ? null : Math.max(...nodes.map((node) => node.ended));
    drawBar(open ? "InProgress" : lane.status, begun, ended, top, 14);
    const counts = new Map();
    for (const node of nodes) counts.set(node.status, (counts.get(node.status) ?? 0) + 1);
    const text = [...counts].map(([status, count]) => `${count} ${status}`).join(", ");
    const [begin, end] = [Math.max(xOf(begun), size.label), xOf(ended ?? now())];
    context.font = "600 11px system-ui, sans-serif";
    if (context.measureText(text).width + 12 < end - begin) {
      write(text, begin + 6, top + 7.5, { colour: colours.card, points: 11, weight: 600 });
    } else {
      write(text, Math.max(end, begin) + 6, top + 7.5, { colour: colours.text, points: 11 });
    }
  }

  // Marks in their order; those that are close are pushed to the right. Keeps where each is.
  function drawMarks(lane, y) {
    let free = -Infinity;
    for (const made of lane.marks) {
      const [name, colour, filled, dashed] = MARKS[made.kind];
      const gap = made.kind === "beat" ? 6 : 15;
      const x = xOf(made.at);
      made.x = null;
      if (x > size.width + 20) break;
      if (x < size.label - 400) continue;
      const place = Math.max(x, free);
      free = place + gap;
      made.x = place;
      if (made.until) {
        context.strokeStyle = colours[colour];
        context.setLineDash([3, 3]);
        context.beginPath();
        context.moveTo(place + 8, y);
        context.lineTo(Math.max(place + 8, xOf(made.until)), y);
        context.stroke();
        context.setLineDash([]);
      }
      sign(name, place, y, 12, colours[colour], filled, dashed);
      if (made.count > 1) {
        free += write(String(made.count), place + 8, y, { colour: colours.muted, points: 10 }) + 2;
      }
      if (made.by && made.kind === lane.answer?.kind) free = drawAnswer(lane, free - 4, y) + 14;
    }
    const { answer, execution } = lane;
    if (!answer && execution?.ended && execution.status !== "SUCCEEDED" && free > size.label) {
      const words = execution.status.toLowerCase().replace("_", " ");
      write(words, free - 3, y, { colour: colours.muted, points: 11 });
    }
  }

  // Who answered, and the state that came next. Returns where the words end.
  function drawAnswer(lane, x, y) {
    const muted = { colour: colours.muted, points: 11 };
    const end = x + write(`by ${lane.answer.by}`, x, y, muted);
    const next = nextState(lane);
    if (!next) return end;
    sign("next", end + 11, y, 12, colours.muted);
    return end + 21 + write(next, end + 21, y, muted);
  }

  function nextState(lane) {
    const { states } = lane.execution ?? { states: [] };
    const task = states.findLastIndex((one) => one.task && one.from <= lane.answer.at);
    return states[task + 1]?.name ?? (lane.execution?.status === "SUCCEEDED" ? "end" : null);
  }

  // ---- Lanes for keyboard, mouse and screen reader ------------------------------------------------

  const laneElements = new Map();

  // Newest on top.
  const laneAt = (row) => model.lanes[model.lanes.length - 1 - row];
  const rowOf = (lane) => model.lanes.length - 1 - model.lanes.indexOf(lane);

  function describe(lane) {
    const parts = [lane.command ? `Command ${shortId(lane.command)}` : "Execution without a command"];
    if (lane.document) parts.push(lane.document);
    parts.push(lane.command ? lane.status : lane.execution?.status ?? "");
    if (lane.targets !== 1) parts.push(plural(lane.targets, "node"));
    if (lane.marks.some((made) => made.kind === "lost")) parts.push("event lost");
    if (lane.answer) parts.push(`answered by ${lane.answer.by}`);
    return parts.join(", ");
  }

  function placeLanes() {
    const height = `${Math.max(model.lanes.length * size.lane, 1)}px`;
    if (lanesElement.style.height !== height) lanesElement.style.height = height;
    const first = Math.max(0, Math.floor(view.scrollTop / size.lane) - 2);
    const last = Math.min(model.lanes.length, Math.ceil((view.scrollTop + view.clientHeight) / size.lane) + 2);
    const wanted = new Set();
    for (let row = first; row < last; row++) wanted.add(laneAt(row));
    for (const [lane, element] of laneElements) {
      if (!wanted.has(lane)) {
        element.remove();
        laneElements.delete(lane);
      }
    }
    for (const lane of wanted) {
      let element = laneElements.get(lane);
      if (!element) {
        element = el("div", { className: "lane", id: lane.key, role: "option" });
        element.lane = lane;
        laneElements.set(lane, element);
        lanesElement.append(element);
      }
      element.style.top = `${rowOf(lane) * size.lane}px`;
      element.style.height = `${size.lane}px`;
      element.setAttribute("aria-label", describe(lane));
      element.setAttribute("aria-setsize", model.lanes.length);
      element.setAttribute("aria-posinset", rowOf(lane) + 1);
      element.setAttribute("aria-selected", lane === shown.chosen);
      element.dataset.command = lane.command ?? "";
      element.dataset.status = lane.command ? lane.status : "";
      element.dataset.marks = lane.marks.map((made) => made.kind).join(" ");
      element.dataset.answeredBy = lane.answer?.by ?? "";
    }
    if (shown.chosen && laneElements.has(shown.chosen)) lanesElement.setAttribute("aria-activedescendant", shown.chosen.key);
    else lanesElement.removeAttribute("aria-activedescendant");
  }

  function choose(lane) {
    shown.chosen = lane;
    const top = rowOf(lane) * size.lane;
    if (top < view.scrollTop) view.scrollTop = top;
    if (top + size.lane > view.scrollTop + view.clientHeight) view.scrollTop = top + size.lane - view.clientHeight;
    isDirty = true;
  }

  function open(lane, moves) {
    shown.opened = lane;
    shown.chosen = lane;
    renderDetail.version = null;
    isDirty = true;
    renderDetail();
    if (moves) {
      byId("detail").focus({ preventScroll: true });
      byId("detail").scrollIntoView({ block: "nearest" });
    }
  }

  // ---- A frame ------------------------------------------------------------------------------------

  function draw() {
    if (size.top !== topOf(size.strip) || view.clientWidth !== size.width) measure();
    isDirty = false;
    context.clearRect(0, 0, size.width, size.height);
    drawAxis();
    clip(0, size.top, size.width, size.height - size.top, () => {
      const first = Math.max(0, Math.floor(view.scrollTop / size.lane));
      for (let row = first; row < model.lanes.length; row++) {
        const y = size.top + row * size.lane - view.scrollTop;
        if (y > size.height) break;
        drawLane(laneAt(row), y);
      }
    });
    drawStrips();
    placeLanes();
    renderCounts();
  }

  // Redraws when something has changed, and ten times a second while time passes on it.
  let drawnAt = 0;
  function tick(time) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 100;
    const passes = shown.live && !isRecording && time - drawnAt > calm;
    if (isDirty || passes) {
      drawnAt = time;
      draw();
      renderDetail();
    }
    requestAnimationFrame(tick);
  }

  function renderCounts() {
    const running = model.lanes.filter((lane) => lane.command && !hasEnded(lane.status)).length;
    const words = [plural(model.lanes.length, "command")];
    if (running) words.push(`${running} running`);
    if (model.lost) words.push(`${plural(model.lost, "event")} lost`);
    if (missed) words.push(`${plural(missed, "entry").replace("entrys", "entries")} missed while this page was slow`);
    set(byId("counts"), words.join(" · "));
    set(byId("span"), duration(shown.span));
    byId("live").setAttribute("aria-pressed", shown.live);
    byId("empty").hidden = model.lanes.length > 0 || isRecording;
  }

  function set(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function announce(text) {
    if (Date.now() - lastNews < 1000) return;
    lastNews = Date.now();
    set(byId("news"), text);
  }

  // ---- A command opened ---------------------------------------------------------------------------

  function renderDetail() {
    const lane = shown.opened;
    if (!lane) return;
    if (renderDetail.version === lane.version && renderDetail.lane === lane) return;
    renderDetail.version = lane.version;
    renderDetail.lane = lane;
    const execution = lane.execution;
    const head = el("div", { className: "head" }, el("h2", { id: "detail-title" }, lane.command ? "Command " : "Execution ", el("span", { className: "mono" }, lane.command ?? nameOf(execution?.arn))), pill(lane.command ? lane.status : execution?.status ?? "Pending"));
    if (execution && execution.ended === null && !isRecording) {
      const stop = el("button", { type: "button", id: "stop" }, "Stop the execution");
      stop.addEventListener("click", () => act({ do: "stop", execution: execution.arn }, byId("run-said"), "stopped"));
      head.append(stop);
    }
    const body = el("div", { id: "detail-body" }, factsOf(lane), ...resultOf(lane), ...nodesOf(lane), ...callsOf(lane));
    if (lane.script) body.append(el("h3", {}, "Script"), el("pre", { tabIndex: 0 }, lane.script));
    // Where the keyboard is stays.
    const focused = document.activeElement?.id;
    byId("detail").replaceChildren(head, body);
    if (focused === "stop") byId("stop")?.focus();
  }

  function factsOf(lane) {
    const list = el("dl", { className: "facts" });
    const fact = (name, ...value) => list.append(el("dt", {}, name), el("dd", {}, ...value));
    const execution = lane.execution;
    if (lane.document) fact("Document", lane.document);
    if (lane.comment && lane.comment !== nameOf(execution?.arn)) fact("Comment", lane.comment);
    if (execution) {
      fact("Execution", el("span", { className: "mono" }, execution.arn.split(":").slice(-2).join(" / ")));
      const words = execution.ended === null ? execution.status : `${execution.status} after ${duration(execution.ended - (execution.begun ?? execution.ended))}`;
      fact("Status", words);
      if (execution.states.length) fact("States", execution.states.map((one) => one.name).join(" → "));
    }
    if (lane.answer) {
      const after = lane.ended === null ? "" : `, ${duration(Math.max(0, lane.answer.at - lane.ended))} after the command ended`;
      fact("Answered by", `${lane.answer.by}${after}`);
    }
    return list;
  }

  function resultOf(lane) {
    const got = lane.got ?? (lane.execution?.ended ? { error: lane.execution.error, cause: lane.execution.cause } : null);
    if (!got || !(got.error || got.cause || got.output)) return [];
    const parts = [el("h3", {}, "What the task got")];
    if (got.error) parts.push(el("p", {}, "Error ", el("strong", {}, got.error)));
    const text = got.output ?? got.cause;
    if (text) parts.push(el("p", { className: "muted" }, got.output ? "Output" : "Cause"), el("pre", { tabIndex: 0 }, pretty(text)));
    return parts;
  }

  function pretty(text) {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }

  const NODES_SHOWN = 100;

  function nodesOf(lane) {
    if (lane.nodes.size === 0) return [];
    const rows = [];
    for (const node of [...lane.nodes.values()].slice(0, NODES_SHOWN)) {
      const took = node.ended === null ? "" : duration(node.ended - node.begun);
      const outputs = [];
      for (const [name, text] of [["Standard output", node.stdout], ["Standard error", node.stderr], ["Trace output", node.trace]]) {
        if (text) outputs.push(el("div", { className: "output" }, el("p", {}, name), el("pre", { tabIndex: 0 }, text)));
      }
      rows.push(el("tr", {}, el("td", {}, el("span", { className: "mono" }, node.id)), el("td", {}, pill(node.status)), el("td", { className: "number" }, node.exit === undefined ? "" : String(node.exit)), el("td", { className: "number" }, took)));
      if (outputs.length) rows.push(el("tr", {}, el("td", { colSpan: 4 }, ...outputs)));
    }
    const more = lane.nodes.size - NODES_SHOWN;
    return [el("h3", {}, "Nodes"), table(["Node", "Status", "Exit code", "Took"], rows), more > 0 ? el("p", { className: "muted" }, `and ${plural(more, "more node")}`) : null];
  }

  function callsOf(lane) {
    if (lane.calls.length === 0) return [];
    const first = lane.calls[0].at;
    const rows = lane.calls.map((call) => el("tr", {}, el("td", { className: "time mono" }, clock(call.at, 1)), el("td", { className: "number hides" }, `+${duration(call.at - first)}`), el("td", {}, call.who), el("td", {}, call.what), el("td", {}, call.count > 1 ? `${call.result}, ${call.count} times until ${clock(call.until, 1)}` : call.result)));
    const parts = table(["Time", "", "Who", "What", "Result"], rows);
    parts.querySelectorAll("th")[1].className = "hides";
    return [el("h3", {}, "Calls and events"), parts];
  }

  function table(names, rows) {
    const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)));
    return el("div", { className: "scrolls" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
  }

  // ---- Run, nodes, faults -------------------------------------------------------------------------

  const EXAMPLES = {
    "says hello": 'set -eu\necho "hello from $AWS_SSM_INSTANCE_ID"',
    "exits 3": "set -eu\necho 'so far so good'\necho 'disk is full' >&2\nexit 3",
    "runs for 30 seconds": "set -eu\necho started\nsleep 30\necho done",
  };

  async function act(action, said, done) {
    said.dataset.is = "";
    set(said, "");
    try {
      const answer = await fetch("/-/actions", {
        method: "POST",
        headers: { "content-type": "application/json", "x-sandbox-page": secret() },
        body: JSON.stringify(action),
      });
      const text = await answer.text();
      if (answer.ok) {
        set(said, done);
        return JSON.parse(text);
      }
      said.dataset.is = "wrong";
      set(said, answer.status === 400 ? JSON.parse(text).error : text);
    } catch {
      said.dataset.is = "wrong";
      set(said, "The sandbox does not answer.");
    }
    return null;
  }

  function runAction() {
    const byTag = document.querySelector("input[name=by]:checked").value === "tag";
    let targets;
    if (byTag) {
      const [key, ...value] = byId("tag").value.split("=");
      targets = [{ key: `tag:${key}`, values: [value.join("=")] }];
    } else {
      const chosen = [...byId("by-nodes").querySelectorAll("input:checked")];
      targets = [{ key: "InstanceIds", values: chosen.map((box) => box.value) }];
    }
    return {
      do: "run",
      document: byId("document").value,
      targets,
      script: byId("script").value,
      on_failure: byId("on-failure").value,
      on_abandon: byId("on-abandon").value,
      timeout_seconds: Number(byId("timeout").value),
    };
  }

  async function run() {
    const action = runAction();
    if (action.targets[0].values.length === 0) {
      byId("run-said").dataset.is = "wrong";
      set(byId("run-said"), "Choose a node.");
      return;
    }
    const started = await act(action, byId("run-said"), "started");
    if (started) {
      shown.live = true;
      view.scrollTop = 0;
      shown.opening = started.execution;
    }
  }

  const FAULTS = [
    { fault: "lose-next", what: "Lose the next event", why: "The sweep finds the command and answers.", once: true },
    { fault: "lose-all", what: "Lose all events" },
    { fault: "double", what: "Double events", why: "One answer all the same." },
    { fault: "delay", what: "Delay events", why: "Up to 5 seconds." },
    { fault: "throttle", what: "Throttle calls", why: "Every call of the functions, for 10 seconds." },
  ];

  const key = (fault) => JSON.stringify(fault);

  function renderFaults() {
    const killers = about.functions.map((name) => ({
      fault: { kill: name },
      what: `Kill the ${functionName(name)}`,
      why: "At its next call, while it works.",
      once: true,
    }));
    const all = [...FAULTS, ...killers];
    const list = byId("faults");
    if (list.children.length !== all.length) {
      list.replaceChildren(
        ...all.map(({ fault, what, why }) => {
          const button = el("button", { type: "button", "aria-label": what });
          button.dataset.fault = key(fault);
          button.addEventListener("click", () => {
            const on = button.getAttribute("aria-pressed") !== "true";
            act({ do: "fault", fault, on }, byId("break-said"), "");
          });
          return el("li", {}, el("span", { className: "what" }, what), why ? el("span", { className: "why" }, why) : null, button);
        }),
      );
    }
    const on = new Set(state.faults.map(key));
    all.forEach(({ fault, once }, number) => {
      const button = list.children[number].querySelector("button");
      const isOn = on.has(key(fault));
      button.setAttribute("aria-pressed", isOn);
      set(button, isOn ? (once ? "armed" : "on") : once ? "arm" : "off");
    });
  }

  let nodesRendered = "";

  function renderNodes() {
    const signature = JSON.stringify(state.nodes.map((node) => [node, model.running.get(node.id)?.size ?? 0]));
    if (signature === nodesRendered) return;
    nodesRendered = signature;
    const focused = document.activeElement?.dataset?.node;
    const said = byId("nodes-said");
    byId("nodes").replaceChildren(
      ...state.nodes.map((node) => {
        const tags = Object.entries(node.tags).map(([name, value]) => `${name}=${value}`);
        const running = model.running.get(node.id)?.size ?? 0;
        const facts = [node.name, ...tags, node.agent === "online" ? "online" : `agent ${node.agent}`, running ? plural(running, "script") : "no script"];
        const button = el("button", { type: "button", "aria-label": `${node.runs ? "Stop" : "Start"} the agent of ${node.id}` }, node.runs ? "Stop agent" : "Start agent");
        button.dataset.node = node.id;
        button.addEventListener("click", () => act({ do: "agent", node: node.id, runs: !node.runs }, said, ""));
        const facts2 = el("span", { className: "facts" }, facts.filter(Boolean).join(" · "));
        return el("li", {}, el("span", { className: "mono" }, node.id), facts2, button);
      }),
    );
    if (focused) document.querySelector(`#nodes button[data-node="${CSS.escape(focused)}"]`)?.focus();
    const chosen = new Set([...byId("by-nodes").querySelectorAll("input:checked")].map((box) => box.value));
    const ids = state.nodes.map((node) => node.id);
    const listed = [...byId("by-nodes").querySelectorAll("input")].map((box) => box.value);
    if (ids.join() === listed.join()) return;
    byId("by-nodes").replaceChildren(
      ...ids.map((id, number) => {
        const box = el("input", { type: "checkbox", value: id, checked: chosen.has(id) || (chosen.size === 0 && number === 0) });
        return el("label", { className: "choice mono" }, box, id);
      }),
    );
  }

  function renderAbout() {
    byId("document").replaceChildren(...about.documents.map((name) => el("option", {}, name)));
    if (!byId("tag").value) byId("tag").value = about.node_tag.join("=");
    renderFaults();
  }

  function renderLegend() {
    const items = Object.values(MARKS).map(([name, colour, filled, dashed, words]) => [icon(name, colour, filled, dashed), words]);
    const seen = new Map();
    for (const [status, [colour, name]] of Object.entries(STATUSES)) {
      if (status === status.toUpperCase()) continue;
      const words = seen.get(name + colour);
      if (words) words.push(status);
      else seen.set(name + colour, [status]);
    }
    const statuses = [["running", "play", "runs (striped)"], ["success", "check", "success"], ["failed", "cross", "failed"], ["timeout", "clock", "timed out"], ["cancelled", "slash", "cancelled"]];
    const others = [[icon("next", "muted"), "next state"], [icon("wait", "sweep"), "dotted line: scheduled sweep"], [icon("skull", "failed"), "function killed"]];
    byId("legend-list").replaceChildren(
      ...[...statuses.map(([colour, name, words]) => [icon(name, colour), `script ${words}`]), ...items, ...others].map(([sign, words]) => el("li", {}, sign, words)),
    );
  }

  // ---- The stream ---------------------------------------------------------------------------------

  let missed = 0;
  let lastEventId = "";

  const storage = {
    get: (name) => {
      try {
        return localStorage.getItem(name);
      } catch {
        return null;
      }
    },
    set: (name, value) => {
      try {
        localStorage.setItem(name, value);
      } catch {
        // It is asked for again.
      }
    },
  };

  // The second secret of the run, which came behind the `#` (crates/sandbox/src/page/access.rs).
  let kept = null;
  function secret() {
    if (location.hash.length > 1) {
      kept = location.hash.slice(1);
      storage.set("sandbox-page", kept);
      history.replaceState(null, "", location.pathname);
    }
    kept ??= storage.get("sandbox-page") ?? "";
    return kept;
  }

  function connection(is, text) {
    byId("connection").dataset.is = is;
    set(byId("connection-text"), text);
  }

  function receive({ event, id, data }) {
    if (id) lastEventId = id;
    const value = JSON.parse(data);
    if (event === "about") {
      if (about.run !== null && about.run !== value.run) startAnew();
      about = value;
      renderAbout();
    } else if (event === "state") {
      state = value;
      renderNodes();
      renderFaults();
    } else if (event === "missed") {
      // What was running may have ended in between.
      startAnew();
      missed += value;
    } else {
      add(value);
      if (value.kind === "node") nodesChanged = true;
      if (shown.opening && model.executions.get(shown.opening)?.lanes[0]) {
        open(model.executions.get(shown.opening).lanes[0], false);
        shown.opening = null;
      }
    }
    isDirty = true;
  }

  let nodesChanged = false;
  setInterval(() => {
    if (nodesChanged && !isRecording) renderNodes();
    nodesChanged = false;
  }, 500);

  function startAnew() {
    reset();
    missed = 0;
    shown.chosen = null;
    shown.opened = null;
    isDirty = true;
  }

  async function read(stream) {
    const decoder = new TextDecoder();
    const reader = stream.getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        const message = { event: "message", id: "", data: "" };
        for (const line of text.slice(0, end).split("\n")) {
          const [, name, rest] = /^([a-z]*): ?(.*)$/s.exec(line) ?? [];
          if (name) message[name] = rest;
        }
        text = text.slice(end + 2);
        if (message.data) receive(message);
      }
    }
  }

  async function follow() {
    for (;;) {
      try {
        const answer = await fetch("/-/events", {
          headers: { accept: "text/event-stream", "x-sandbox-page": secret(), "last-event-id": lastEventId },
        });
        if (answer.status === 403) {
          connection("lost", await answer.text());
          return;
        }
        if (answer.ok) {
          connection("live", "connected");
          await read(answer.body);
        }
      } catch {
        // It is tried again.
      }
      connection("lost", "the sandbox does not answer; trying again");
      await new Promise((done) => setTimeout(done, 1500));
    }
  }

  // ---- Keys, mouse, buttons -----------------------------------------------------------------------

  function zoom(factor, around = null) {
    const span = Math.min(SPAN_MAX, Math.max(SPAN_MIN, shown.span * factor));
    if (!shown.live) {
      const middle = around ?? shown.end - shown.span / 2;
      shown.end = middle + ((shown.end - middle) / shown.span) * span;
    }
    shown.span = span;
    isDirty = true;
  }

  function pan(part) {
    shown.end = right() + shown.span * part;
    shown.live = false;
    isDirty = true;
  }

  function fit() {
    if (model.first > model.last) return;
    const marks = model.lanes.flatMap((lane) => [lane.begun, lane.ended ?? now()]);
    const [first, last] = [Math.min(...marks, now()), Math.max(...marks)];
    shown.live = false;
    shown.span = Math.max(2e3, ((last - first) * 1.03) / (1 - room()));
    shown.end = last + shown.span * room();
    isDirty = true;
  }

  function toggleLive() {
    shown.end = right();
    shown.live = !shown.live;
    isDirty = true;
  }

  const KEYS = {
    ArrowLeft: () => pan(-0.2),
    ArrowRight: () => pan(0.2),
    "+": () => zoom(0.6),
    "=": () => zoom(0.6),
    "-": () => zoom(1 / 0.6),
    0: fit,
    " ": toggleLive,
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Home: () => step(-Infinity),
    End: () => step(Infinity),
    Enter: () => shown.chosen && open(shown.chosen, true),
  };

  function step(by) {
    if (model.lanes.length === 0) return;
    const row = shown.chosen ? rowOf(shown.chosen) : by > 0 ? -1 : model.lanes.length;
    choose(laneAt(Math.min(model.lanes.length - 1, Math.max(0, row + by))));
  }

  function hint(event) {
    const bounds = frame.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    if (y < size.top) return showTip(stripHint(x, y), x, y);
    const lane = laneAt(Math.floor((y - size.top + view.scrollTop) / size.lane));
    const near = (lane?.marks ?? []).filter((made) => made.x !== null && Math.abs(made.x - x) < 8);
    const made = near.sort((a, b) => Math.abs(a.x - x) - Math.abs(b.x - x))[0];
    const inScripts = lane && [...lane.nodes.values()].find((node) => x >= xOf(node.begun) - 2 && x <= xOf(node.ended ?? now()) + 2);
    let text = "";
    if (made) text = `${clock(made.at, 1)}\n${made.text}${made.count > 1 ? `, ${made.count} calls` : ""}`;
    else if (inScripts) {
      text = [...lane.nodes.values()].slice(0, 6).map((node) => `${node.id} ${node.status}${node.exit === undefined ? "" : `, exit ${node.exit}`}`).join("\n");
      if (lane.nodes.size > 6) text += `\nand ${lane.nodes.size - 6} more`;
    }
    showTip(text, x, y);
  }

  // An invocation, or what was made to go wrong.
  function stripHint(x, y) {
    const strip = strips()[Math.floor((y - 24) / size.strip)];
    if (!strip) return "";
    if (!strip.runs) {
      const near = model.faults.findLast((fault) => Math.abs(xOf(fault.at) + 5 - x) < 9);
      return near ? `${clock(near.at, 1)}\n${near.text}${near.on ? "" : ", no more"}` : "";
    }
    const run = strip.runs.findLast((one) => x >= xOf(one.from) - 3 && x <= Math.max(xOf(one.from) + 4, xOf(one.to ?? now())) + 3);
    if (!run) return "";
    const words = [functionName(strip.name)];
    if (run.to !== null) words.push(duration(run.to - run.from));
    if (run.cold) words.push("cold start");
    if (run.attempt > 1) words.push(`attempt ${run.attempt}`);
    words.push(run.killed ? "killed" : run.outcome ?? "works");
    return `${clock(run.from, 1)}\n${words.join(", ")}`;
  }

  function showTip(text, x, y) {
    tip.hidden = !text;
    if (!text) return;
    set(tip, text);
    tip.style.left = `${Math.max(4, Math.min(x + 12, size.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.min(y + 16, size.height - tip.offsetHeight - 4)}px`;
  }

  function listen() {
    let drag = null;
    view.addEventListener("scroll", () => (isDirty = true), { passive: true });
    frame.addEventListener("pointermove", (event) => {
      if (drag) {
        const by = event.clientX - drag.x;
        if (Math.abs(by) > 4) drag.moved = true;
        if (drag.moved) {
          shown.live = false;
          shown.end = drag.end - (by / (size.width - size.label)) * shown.span;
          isDirty = true;
        }
      } else {
        hint(event);
      }
    });
    frame.addEventListener("pointerleave", () => (tip.hidden = true));
    frame.addEventListener("pointerdown", (event) => {
      if (event.button === 0) drag = { x: event.clientX, end: right(), moved: false };
    });
    window.addEventListener("pointerup", () => setTimeout(() => (drag = null)));
    window.addEventListener("pointercancel", () => (drag = null));
    lanesElement.addEventListener("click", (event) => {
      const lane = event.target.closest(".lane")?.lane;
      if (lane && !drag?.moved) open(lane, false);
    });
    frame.addEventListener(
      "wheel",
      (event) => {
        if (event.ctrlKey || event.metaKey) {
          event.preventDefault();
          zoom(Math.exp(event.deltaY * 0.002), timeOf(event.clientX - frame.getBoundingClientRect().left));
        } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
          event.preventDefault();
          pan(event.deltaX / size.width);
        }
      },
      { passive: false },
    );
    lanesElement.addEventListener("keydown", (event) => {
      const does = KEYS[event.key];
      if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      does();
    });
    const click = (id, does) => byId(id).addEventListener("click", does);
    click("live", toggleLive);
    click("earlier", () => pan(-0.3));
    click("later", () => pan(0.3));
    click("zoom-in", () => zoom(0.6));
    click("zoom-out", () => zoom(1 / 0.6));
    click("fit", fit);
    click("first-run", run);
    byId("run").addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
    byId("example").addEventListener("change", (event) => (byId("script").value = EXAMPLES[event.target.value]));
    for (const radio of document.querySelectorAll("input[name=by]")) {
      radio.addEventListener("change", () => {
        byId("by-nodes").hidden = radio.value === "tag";
        byId("by-tag").hidden = radio.value !== "tag";
      });
    }
    new ResizeObserver(measure).observe(frame);
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", () => theme(storage.get("sandbox-theme")));
    click("theme", () => {
      const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      storage.set("sandbox-theme", next);
      theme(next);
    });
    function theme(wanted) {
      const is = wanted ?? (system.matches ? "dark" : "light");
      document.documentElement.dataset.theme = is;
      set(byId("theme"), is === "dark" ? "Light" : "Dark");
      readColours();
    }
    theme(storage.get("sandbox-theme"));
  }

  // ---- Start --------------------------------------------------------------------------------------

  reset();
  renderLegend();
  byId("example").replaceChildren(...Object.keys(EXAMPLES).map((name) => el("option", {}, name)));
  byId("script").value = EXAMPLES["says hello"];
  if (window.innerWidth < 860) byId("legend").open = false;
  listen();
  measure();
  if (isRecording) {
    const recording = JSON.parse(byId("recording").textContent);
    about = recording.about;
    state = recording.state;
    recording.entries.forEach(add);
    document.querySelector("main").classList.add("recording");
    byId("live").hidden = true;
    connection("recorded", `recorded ${new Date(model.first).toLocaleString()}`);
    fit();
    // The one that shows the most.
    const lane = model.lanes.find((one) => one.marks.some((made) => made.kind === "lost")) ?? model.lanes[0];
    if (lane) open(lane, false);
    measure();
    frame.style.height = `${size.top + model.lanes.length * size.lane + 10}px`;
  } else {
    follow();
  }
  requestAnimationFrame(tick);
})();
