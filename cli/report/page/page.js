/*
 * The script of a report's page: theme, and the list of alerts with search, filters, order, pages and process graphs.
 *
 * Texts come from the data block of the page and reach it through textContent and setAttribute of class, type and the like
 * alone. Nothing is kept, loaded or sent. The file stands in the page as it is; a test checks its types.
 */
(() => {
  "use strict";
  /** @typedef {import("../payload.ts").Payload} Payload */
  /** @typedef {import("../payload.ts").PayloadAlert} Alert */
  /** @typedef {import("../payload.ts").PayloadNode} Process */

  const PAGE_SIZE = 50, PRINT_SIZE = 500, MAX_ANCESTORS = 64, MAX_GENERATIONS = 12;
  /** Pause after the last key before the list is searched. */
  const TYPING_MS = 120;

  /**
   * An element with a class and children; texts become text.
   * @param {string} tag
   * @param {string} className
   * @param {...(Node | string | null)} children
   */
  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className !== "") made.className = className;
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  /**
   * @template {typeof Element} T
   * @param {string} id
   * @param {T} type
   * @returns {InstanceType<T>}
   */
  function named(id, type) {
    const found = document.getElementById(id);
    if (!(found instanceof type)) throw new TypeError(`There is no ${id}`);
    return /** @type {InstanceType<T>} */ (found);
  }

  /** @param {number} time */
  function utc(time) {
    const date = new Date(time);
    return Number.isNaN(date.getTime()) ? "invalid time" : date.toISOString().slice(0, -1).replace("T", " ");
  }

  /** @param {number} ms */
  function span(ms) {
    const seconds = ms / 1000;
    if (ms < 1000) return `${Math.round(ms)} ms`;
    if (seconds < 60) return `${seconds.toFixed(1)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
  }

  /** @param {number} n */
  function count(n) {
    return n.toLocaleString("en-US");
  }

  function startTheme() {
    const button = named("theme", HTMLButtonElement), dark = matchMedia("(prefers-color-scheme: dark)");
    const root = document.documentElement;
    const isDark = () => root.dataset["theme"] === undefined ? dark.matches : root.dataset["theme"] === "dark";
    const show = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", isDark() ? "Show in light colours" : "Show in dark colours");
    };
    button.addEventListener("click", () => {
      root.dataset["theme"] = isDark() ? "light" : "dark";
      show();
    });
    dark.addEventListener("change", show);
    button.hidden = false;
    show();
  }

  /** @param {Payload} data */
  function startExplorer(data) {
    const { alerts, rules, nodes, severities } = data;
    const search = named("search", HTMLInputElement), state = named("state", HTMLSelectElement);
    const rule = named("rule", HTMLSelectElement), order = named("order", HTMLSelectElement);
    const list = named("list", HTMLOListElement), found = named("found", HTMLElement);
    const before = named("before", HTMLButtonElement), after = named("after", HTMLButtonElement);
    const place = named("page", HTMLElement), pages = named("pages", HTMLElement);
    const explorer = named("explorer", HTMLElement), form = explorer.querySelector("form");
    const boxes = [...explorer.querySelectorAll("input[type=checkbox]")].filter((box) =>
      box instanceof HTMLInputElement
    );
    /** @type {number[]} */
    let shown = [];
    let page = 0, size = PAGE_SIZE;
    /** @type {string[] | null} */
    let texts = null;
    /** @type {Map<number, number[]> | null} */
    let children = null;

    const ids = [...new Set(rules.map(({ id }) => id))].sort();
    for (const id of ids) rule.add(new Option(id, id));

    /** All that can be searched of an alert, made when somebody searches. */
    function searchable() {
      texts ??= alerts.map((alert) => {
        const { id, title, tags } = /** @type {import("../payload.ts").PayloadRule} */ (rules[alert.rule]);
        const { name, executable, command, user, pid, directory, container, status, evidence = [] } = alert;
        return [
          ...[id, title, ...tags, alert.id, name, executable, command, user, pid, directory, container, status],
          ...evidence.map(([, value]) => value),
        ].join("\n").toLowerCase();
      });
      return texts;
    }

    /** @param {(alert: Alert) => string} key */
    const byText = (key) => (/** @type {number} */ a, /** @type {number} */ b) => {
      const x = key(/** @type {Alert} */ (alerts[a])), y = key(/** @type {Alert} */ (alerts[b]));
      return x < y ? -1 : x > y ? 1 : a - b;
    };
    /** @param {number} at */
    const severityOf = (at) => /** @type {Alert} */ (alerts[at]).severity;
    // They come from the newest to the oldest
    /** @type {Record<string, (a: number, b: number) => number>} */
    const orders = {
      newest: (a, b) => a - b,
      oldest: (a, b) => b - a,
      severity: (a, b) => severityOf(a) - severityOf(b) || a - b,
      rule: byText((alert) => rules[alert.rule]?.id ?? ""),
      user: byText((alert) => alert.user ?? ""),
      program: byText((alert) => alert.executable ?? alert.name ?? ""),
    };

    function select() {
      const words = search.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
      const wanted = new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value)));
      const all = words.length === 0 ? null : searchable();
      shown = [];
      alerts.forEach((alert, at) => {
        if (!wanted.has(alert.severity)) return;
        if (rule.value !== "" && rules[alert.rule]?.id !== rule.value) return;
        if (state.value === "muted" ? alert.muted === undefined : state.value !== "" && alert.status !== state.value) {
          return;
        }
        // What is muted was taken up, as the counts of open ones have it
        if (state.value === "open" && alert.muted !== undefined) return;
        if (all !== null && !words.every((word) => all[at]?.includes(word))) return;
        shown.push(at);
      });
      const sort = orders[order.value];
      if (sort !== undefined && order.value !== "newest") shown.sort(sort);
      page = 0;
      draw();
    }

    function draw() {
      const last = Math.max(0, Math.ceil(shown.length / size) - 1);
      page = Math.min(page, last);
      const here = shown.slice(page * size, (page + 1) * size);
      list.replaceChildren(...here.map((at) => item(/** @type {Alert} */ (alerts[at]))));
      list.start = page * size + 1;
      found.textContent = shown.length === alerts.length
        ? `${count(alerts.length)} ${alerts.length === 1 ? "alert" : "alerts"}`
        : `${count(shown.length)} of ${count(alerts.length)} alerts`;
      pages.hidden = last === 0;
      place.textContent = `Page ${count(page + 1)} of ${count(last + 1)}`;
      before.disabled = page === 0;
      after.disabled = page === last;
    }

    /** @param {Alert} alert */
    function item(alert) {
      const { title, id } = /** @type {import("../payload.ts").PayloadRule} */ (rules[alert.rule]);
      const severity = severities[alert.severity] ?? "info";
      const who = [alert.user, `${alert.name ?? "?"} ${alert.pid ?? ""}`.trim()].filter((part) => part !== undefined);
      const states = [
        ...alert.repeats === undefined ? [] : [`${count(alert.repeats)} more`],
        ...alert.status === "open" ? [] : [alert.status],
        ...alert.muted === undefined ? [] : ["muted"],
        ...alert.unseen === undefined ? [] : ["saw less"],
      ];
      const when = /** @type {HTMLTimeElement} */ (element("time", "", utc(alert.time).slice(0, 19)));
      if (utc(alert.time) !== "invalid time") when.dateTime = new Date(alert.time).toISOString();
      const summary = element(
        "summary",
        "",
        element("span", `severity ${severity}`, severity),
        element("span", "title", title === "" ? id : title, ...states.map((each) => element("span", "state", each))),
        element("span", "who", who.join(" · ")),
        when,
      );
      const details = /** @type {HTMLDetailsElement} */ (element("details", severity, summary));
      details.addEventListener("toggle", () => {
        if (details.open && details.children.length === 1) details.append(body(alert));
      });
      return element("li", "", details);
    }

    /** @param {Alert} alert */
    function body(alert) {
      const { id, about, tags, hash } = /** @type {import("../payload.ts").PayloadRule} */ (rules[alert.rule]);
      /** @type {[string, string | number | undefined, string?][]} */
      const facts = [
        ["Command", alert.command, "code"],
        ["Executable", alert.executable, "code"],
        ["User", alert.user],
        ["Directory", alert.directory, "code"],
        ["Container", alert.container, "code"],
        ["Input", alert.input],
        ["State", alert.muted === undefined ? alert.status : `${alert.status}; kept from the sinks by ${alert.muted}`],
        ["Stands for", alert.repeats === undefined ? undefined : `${count(alert.repeats)} hits: ${alert.reason ?? ""}`],
        ["Detected", `${utc(alert.detected)} (${span(Math.max(0, alert.detected - alert.time))} later)`],
        ["Rule", id, "code"],
        ["Its version", hash, "code"],
        ["Tags", tags.join(", ")],
        ["Event", alert.event, "code"],
        ["Alert", alert.id, "code"],
      ];
      const unseen = (alert.unseen ?? []).map((reason) => element("li", "", reason));
      return element(
        "div",
        "body",
        about === "" ? null : element("p", "about", about),
        unseen.length === 0 ? null : element("p", "warning", "The rule did not see all that it looks at:"),
        unseen.length === 0 ? null : element("ul", "warning", ...unseen),
        definitions("facts", facts),
        alert.evidence === undefined ? null : element("h4", "", "What the rule selected"),
        alert.evidence === undefined
          ? null
          : definitions("facts", alert.evidence.map(([name, value]) => [name, value, "code"])),
        alert.history === undefined ? null : element("h4", "", "What was done with it"),
        alert.history === undefined ? null : element(
          "ol",
          "history",
          ...alert.history.map((step) =>
            element(
              "li",
              "",
              `${utc(step.time).slice(0, 19)} ${step.action} by ${step.actor}`,
              step.text === "" ? "" : `: ${step.text}`,
            )
          ),
        ),
        element("h4", "", "Process graph"),
        graph(alert),
      );
    }

    /**
     * @param {string} className
     * @param {readonly (readonly [string, string | number | undefined, string?])[]} facts
     */
    function definitions(className, facts) {
      return element(
        "dl",
        className,
        ...facts.filter(([, value]) => value !== undefined && value !== "").map(([name, value, kind]) =>
          element("div", "", element("dt", "", name), element("dd", kind ?? "", String(value)))
        ),
      );
    }

    /** Places of the children of each process. */
    function childrenOf() {
      if (children !== null) return children;
      children = new Map();
      nodes.forEach(({ parent }, at) => {
        const known = children?.get(parent);
        if (known === undefined) children?.set(parent, [at]);
        else known.push(at);
      });
      for (const list of children.values()) {
        list.sort((a, b) => (nodes[a]?.start ?? 0) - (nodes[b]?.start ?? 0) || a - b);
      }
      return children;
    }

    /** @param {Alert} alert */
    function graph(alert) {
      const self = nodes[alert.node];
      if (self === undefined) return element("p", "note", "The process of this alert is not known.");
      /** @type {number[]} */
      const ancestors = [];
      const seen = new Set([alert.node]);
      for (
        let at = self.parent;
        at >= 0 && ancestors.length < MAX_ANCESTORS && !seen.has(at);
        at = nodes[at]?.parent ?? -1
      ) {
        seen.add(at);
        ancestors.unshift(at);
      }
      const family = [alert.node, ...descendants(alert.node, new Set(seen))];
      const known = family.map((at) => nodes[at]).filter((node) => node !== undefined);
      const starts = known.map(({ start }) => start ?? alert.time), ends = known.map(({ end }) => end ?? alert.time);
      const from = Math.min(alert.time, ...starts), until = Math.max(alert.time, ...ends);
      const margin = Math.max(1, (until - from) * 0.05);
      /** @type {Frame} */
      const frame = { from: from - margin, until: until + margin, alert: alert.time };
      const lines = ancestors.map((at) => element("li", "", row(/** @type {Process} */ (nodes[at]), frame)));
      const above = element(
        "details",
        "",
        element(
          "summary",
          "note",
          `${count(lines.length)} ${lines.length === 1 ? "ancestor" : "ancestors"}, the first at the top`,
        ),
        element("ol", "ancestors", ...lines),
      );
      above.toggleAttribute("open", true);
      const top = nodes[ancestors[0] ?? alert.node];
      return element(
        "div",
        "graph",
        element(
          "p",
          "note",
          `The bars go from ${utc(frame.from).slice(0, 19)} to ${
            utc(frame.until).slice(0, 19)
          }; the mark is the alert.`,
          top?.remembered === true
            ? " What is in italics is known from the alert alone: the store has it no more."
            : "",
        ),
        ancestors.length === 0 ? null : above,
        element("ul", "tree", branch(alert.node, frame, new Set(seen), 0)),
      );
    }

    /**
     * @param {number} at
     * @param {Set<number>} seen
     * @returns {number[]}
     */
    function descendants(at, seen) {
      /** @type {number[]} */
      const all = [];
      const pending = [at];
      for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
        for (const child of childrenOf().get(next) ?? []) {
          if (seen.has(child)) continue;
          seen.add(child);
          all.push(child);
          pending.push(child);
        }
      }
      return all;
    }

    /** @typedef {{ from: number, until: number, alert: number }} Frame */

    /**
     * @param {number} at
     * @param {Frame} frame
     * @param {Set<number>} seen
     * @param {number} generation below the alert's process, which is the first
     * @returns {HTMLElement}
     */
    function branch(at, frame, seen, generation) {
      const node = /** @type {Process} */ (nodes[at]);
      const below = (childrenOf().get(at) ?? []).filter((child) => !seen.has(child));
      for (const child of below) seen.add(child);
      const line = row(node, frame), hidden = node.hidden ?? 0, self = generation === 0 ? "self" : "";
      const isDrawn = generation < MAX_GENERATIONS, left = isDrawn ? hidden : hidden + below.length;
      const where = isDrawn ? "which are not in this report" : "further down than is drawn";
      const more = left === 0
        ? null
        : element("li", "note", `and ${count(left)} more, ${where} (tree --alert shows them on the host)`);
      const drawn = isDrawn ? below : [];
      if (drawn.length === 0 && more === null) return element("li", self, line);
      const details = element(
        "details",
        "",
        element("summary", "", line),
        element("ul", "", ...drawn.map((child) => branch(child, frame, seen, generation + 1)), more),
      );
      details.toggleAttribute("open", true);
      return element("li", self, details);
    }

    /**
     * @param {Process} node
     * @param {Frame} frame
     */
    function row(node, frame) {
      const { start, end, ended } = node;
      const life = [
        start === undefined ? "" : `from ${utc(start)}`,
        end === undefined ? "" : `to ${utc(end)}`,
        start !== undefined && end !== undefined ? `(${span(Math.max(0, end - start))})` : "",
        ended ?? (node.remembered === true || start === undefined ? "" : "no end is known"),
      ].filter((part) => part !== "").join(" ");
      return element(
        "span",
        node.remembered === true ? "process remembered" : "process",
        element(
          "span",
          "name",
          element("b", "", node.name ?? "?"),
          ` ${node.pid ?? ""}`,
          node.user === undefined ? "" : ` · ${node.user}`,
        ),
        lifeline(node, frame),
        element("span", "life", life),
        element("span", "code", node.command ?? node.executable ?? ""),
      );
    }

    /**
     * @param {Process} node
     * @param {Frame} frame
     */
    function lifeline(node, { from, until, alert }) {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("class", "lifeline");
      svg.setAttribute("viewBox", "0 0 100 10");
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("aria-hidden", "true");
      /** @param {number} time */
      const x = (time) => Math.min(100, Math.max(0, 100 * (time - from) / (until - from)));
      /** @type {(className: string, begin: number, end: number) => void} */
      const bar = (className, begin, end) => {
        const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        rect.setAttribute("class", className);
        rect.setAttribute("x", begin.toFixed(2));
        rect.setAttribute("y", className === "life" ? "3" : "0");
        rect.setAttribute("width", Math.max(0.8, end - begin).toFixed(2));
        rect.setAttribute("height", className === "life" ? "4" : "10");
        svg.append(rect);
      };
      if (node.start !== undefined) bar("life", x(node.start), x(node.end ?? until));
      bar("moment", x(alert), x(alert));
      return svg;
    }

    let typing = 0;
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(select, TYPING_MS);
    });
    for (const control of [state, rule, order, ...boxes]) control.addEventListener("change", select);
    form?.addEventListener("submit", (event) => {
      event.preventDefault();
      select();
    });
    // The fields have their first values only after the event
    form?.addEventListener("reset", () => setTimeout(select, 0));
    /** @param {number} to */
    const turn = (to) => {
      page = to;
      draw();
      found.scrollIntoView({ block: "start" });
    };
    before.addEventListener("click", () => turn(page - 1));
    after.addEventListener("click", () => turn(page + 1));
    for (const link of document.querySelectorAll("a[data-rule]")) {
      link.addEventListener("click", () => {
        form?.reset();
        // Behind the select() of the reset
        setTimeout(() => {
          [rule.value, state.value] = [link.getAttribute("data-rule") ?? "", "open"];
          for (const box of boxes) box.checked = box.value === link.getAttribute("data-severity");
          select();
        }, 0);
      });
    }
    // Paper has no pages to turn: more of the list at once, and said where that is not all
    addEventListener("beforeprint", () => {
      [page, size] = [0, PRINT_SIZE];
      draw();
      if (shown.length > PRINT_SIZE) found.textContent += `; the first ${count(PRINT_SIZE)} are printed`;
    });
    addEventListener("afterprint", () => {
      size = PAGE_SIZE;
      draw();
    });
    explorer.hidden = false;
    select();
  }

  /** What is closed on the screen and belongs on paper is open there. */
  function startPrint() {
    /** @type {HTMLDetailsElement[]} */
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("main > section > details")].flatMap((each) =>
        each instanceof HTMLDetailsElement && !each.open ? [each] : []
      );
      for (const each of opened) each.open = true;
    });
    addEventListener("afterprint", () => {
      for (const each of opened) each.open = false;
      opened = [];
    });
  }

  startTheme();
  startPrint();
  const data = document.getElementById("data");
  if (data !== null) startExplorer(JSON.parse(data.textContent ?? ""));
})();
