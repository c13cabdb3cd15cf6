/** The report in a browser: it loads nothing, runs nothing of what an attacker wrote, and everybody can use it. */
import assert from "node:assert/strict";
import axe from "axe-core";
import { printable } from "../../proto/printable.ts";
import { Chromium, type Page } from "../support/chromium.ts";
import { cli } from "../support/cli_run.ts";
import { needs } from "../support/needs.ts";
import { PAGE_PAYLOADS } from "../support/page_payloads.ts";
import { reportWorld } from "../support/report_world.ts";
import { NOW, testProcess, TestState } from "../support/test_store.ts";

/** All of it with `REPORT_LARGE=1`: as many alerts as a report lists unless it is told otherwise, and axe on each screen. */
const IS_LARGE = Deno.env.get("REPORT_LARGE") === "1", ALERTS = IS_LARGE ? 10_000 : 2_000;
const WIDTHS = [1_400, 400] as const, THEMES = ["light", "dark"] as const;

/** Makes the page and gives its path. */
async function writeReport(state: TestState, directory: string, name: string): Promise<string> {
  const { out, code } = await cli(state, ["report", "--since", "8d"]);
  assert.ok(code === 0 || code === 3, String(code));
  await Deno.writeTextFile(`${directory}/${name}.html`, out);
  return `${directory}/${name}.html`;
}

/** What of a page's text is cut off, or lies beyond its edges. Closed parts and text for screen readers are left out. */
const CLIPPED = `(() => {
  const found = [], edge = document.documentElement.clientWidth, cutters = new Map();
  const cuttersOf = (element) => {
    let known = cutters.get(element);
    if (known === undefined) {
      const above = element.parentElement === null ? [] : cuttersOf(element.parentElement);
      const cuts = getComputedStyle(element).overflowX !== "visible" && !element.matches(".scroll, body, html");
      cutters.set(element, known = cuts ? [...above, element.getBoundingClientRect()] : above);
    }
    return known;
  };
  if (document.documentElement.scrollWidth > edge) found.push("the page is wider than the window");
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    if (node.data.trim() === "" || element.closest(".unseen, script, style, noscript, .skip, thead, option") !== null) continue;
    if (!element.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const { left, right, width } of range.getClientRects()) {
      if (width > 0 && (left < -0.5 || right > edge + 0.5)) found.push("beyond the edge: " + node.data.slice(0, 60));
      for (const bounds of cuttersOf(element)) {
        if (right > bounds.right + 1 || left < bounds.left - 1) found.push("cut off: " + node.data.slice(0, 60));
      }
    }
    const { scrollWidth, clientWidth } = element;
    if (clientWidth > 0 && scrollWidth > clientWidth + 1 && getComputedStyle(element).display !== "inline" &&
      element.closest(".scroll, .heat") === null) found.push("wider than its box: " + node.data.slice(0, 60));
  }
  return [...new Set(found)].slice(0, 20);
})()`;

/** Opens everything that can be opened; of the list of alerts the first few. */
function openAll(page: Page, alerts: number): Promise<void> {
  return page.evaluate(`(async () => {
    [...document.querySelectorAll("#list > li > details")].slice(0, ${alerts}).forEach((each) => each.open = true);
    document.querySelectorAll("main details").forEach((each) => { if (each.closest("#list") === null) each.open = true; });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  })()`);
}

/** Rules of WCAG 2 A and AA, and best practices, that the page breaks. */
async function violations(page: Page): Promise<unknown[]> {
  await page.evaluate(`void ${axe.source.length}; ${axe.source}; null`);
  const found = await page.evaluate<{ id: string; nodes: { html: string; failureSummary: string }[] }[]>(
    `axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations.map(({ id, nodes }) =>
      ({ id, nodes: nodes.slice(0, 3).map(({ html, failureSummary }) => ({ html: html.slice(0, 300), failureSummary })) })))`,
  );
  // That it would find something
  const planted = await page.evaluate<string[]>(`(() => {
    const image = document.createElement("img");
    document.body.append(image);
    return axe.run(image, { runOnly: ["image-alt"] }).then(({ violations }) => {
      image.remove();
      return violations.map(({ id }) => id);
    });
  })()`);
  assert.deepEqual(planted, ["image-alt"]);
  return found;
}

function assertQuiet({ notes, url }: Page): void {
  assert.deepEqual(notes, { complaints: [], requests: [], dialogs: [] }, url);
}

Deno.test({
  name: `A report of ${ALERTS} alerts opens without error and request, fits every screen, and axe finds nothing`,
  ...needs({ programs: ["chromium", "zbarimg"] }),
  async fn() {
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-report-" });
    using world = await reportWorld({ alerts: ALERTS, events: 20_000 });
    const path = await writeReport(world.state, directory, "large");
    const checkpoint = (await cli(world.state, ["audit", "checkpoint"])).out;
    await using browser = await Chromium.start();
    for (const theme of THEMES) {
      for (const width of WIDTHS) {
        const page = await browser.open(path, width, 1_000, theme);
        const paint = await page.evaluate<number>(`new Promise((resolve) =>
          new PerformanceObserver((list, observer) => {
            const [entry] = list.getEntriesByName("first-contentful-paint");
            if (entry !== undefined) { observer.disconnect(); resolve(entry.startTime); }
          }).observe({ type: "paint", buffered: true }))`);
        const usable = await page.evaluate<number>(`performance.getEntriesByType("navigation")[0].domComplete`);
        console.log(
          `${width} pixels, ${theme}: first paint after ${Math.round(paint)} ms, usable after ${Math.round(usable)} ms`,
        );
        await openAll(page, 3);
        assert.deepEqual(await page.evaluate(CLIPPED), [], `${theme}, ${width} pixels`);
        // Each theme and each width once takes half of the time
        if (IS_LARGE || (theme === "light") === (width === WIDTHS[0])) {
          assert.deepEqual(await violations(page), [], `${theme}, ${width} pixels`);
        }
        if (width === WIDTHS[0]) await useIt(page, theme);
        if (theme === "light") await readCode(page, `${directory}/code.png`, checkpoint);
        assertQuiet(page);
        await page.close();
      }
    }
    await Deno.remove(directory, { recursive: true });
  },
});

/** Search, filters, order, pages, theme and the keyboard. */
async function useIt(page: Page, theme: string): Promise<void> {
  const found = (): Promise<string> => page.evaluate(`document.getElementById("found").textContent`);
  const set = (id: string, value: string, event: string): Promise<void> =>
    page.evaluate(`(async () => {
      const field = document.getElementById(${JSON.stringify(id)});
      field.value = ${JSON.stringify(value)};
      field.dispatchEvent(new Event(${JSON.stringify(event)}, { bubbles: true }));
      await new Promise((resolve) => setTimeout(resolve, 400));
    })()`);
  const titles = (): Promise<string[]> =>
    page.evaluate(`[...document.querySelectorAll("#list .title")].map((each) => each.firstChild.textContent)`);
  const all = ALERTS.toLocaleString("en-US");
  assert.equal(await found(), `${all} alerts`);
  await set("search", "payload-1711.sh", "input");
  assert.equal(await found(), `1 of ${all} alerts`);
  await set("search", "", "input");
  await set("rule", "history-cleared", "change");
  assert.deepEqual([...new Set(await titles())], ["Shell history was cleared"]);
  await set("rule", "", "change");
  await set("order", "severity", "change");
  assert.equal(await page.evaluate(`document.querySelector("#list .severity").textContent`), "critical");
  await page.evaluate(`document.querySelector("input[name=severity][value='0']").click()`);
  assert.equal(await page.evaluate(`document.querySelector("#list .severity").textContent`), "high");
  const first = await page.evaluate<string>(`document.querySelector("#list time").textContent`);
  await page.evaluate(`document.getElementById("after").click()`);
  assert.notEqual(await page.evaluate(`document.querySelector("#list time").textContent`), first);
  assert.match(await page.evaluate(`document.getElementById("page").textContent`), /^Page 2 of \d+$/);
  await page.evaluate(
    `document.querySelector("#explorer form").reset(); new Promise((resolve) => setTimeout(resolve, 50))`,
  );
  assert.equal(await found(), `${all} alerts`);
  // What to look at first leads to those alerts, as many as it says
  const shown = await page.evaluate<string>(`(() => {
    const link = document.querySelector("a[data-rule]");
    link.focus();
    return link.closest("tr").children[2].textContent.trim();
  })()`);
  await pressEnter(page);
  await page.evaluate(`new Promise((resolve) => setTimeout(resolve, 100))`);
  assert.equal(await found(), `${shown} of ${all} alerts`);
  assert.ok(Number(shown.replaceAll(",", "")) > 0);
  assert.deepEqual(
    await page.evaluate(
      `[...new Set([...document.querySelectorAll("#list .severity")].map((each) => each.textContent))]`,
    ),
    ["critical"],
  );
  await page.evaluate(
    `document.querySelector("#explorer form").reset(); new Promise((resolve) => setTimeout(resolve, 50))`,
  );
  // The keyboard opens an alert, and its graph has the ancestors
  await page.evaluate(`document.querySelector("#list summary").focus()`);
  await pressEnter(page);
  const graph = await page.evaluate<string>(`new Promise((resolve) => {
    const look = () => {
      const graph = document.querySelector("#list .graph");
      if (graph !== null) resolve(graph.textContent); else setTimeout(look, 20);
    };
    look();
  })`);
  for (const name of ["systemd", "nginx", "3 ancestors"]) assert.ok(graph.includes(name), graph);
  const ground = (): Promise<string> => page.evaluate(`getComputedStyle(document.body).backgroundColor`);
  const before = await ground();
  await page.evaluate(`document.getElementById("theme").click()`);
  assert.notEqual(await ground(), before, `the other theme than ${theme}`);
  // On paper more of the list stands at once, in the light theme
  await page.call("Emulation.setEmulatedMedia", { media: "print" });
  assert.equal(await page.evaluate(`getComputedStyle(document.documentElement).colorScheme`), "light");
  await page.call("Emulation.setEmulatedMedia", { media: "" });
  const rulesAreOpen = `document.querySelector("#alerts > details").open`;
  await page.evaluate(`${rulesAreOpen} = false; dispatchEvent(new Event("beforeprint"))`);
  assert.equal(await page.evaluate(`document.querySelectorAll("#list > li").length`), 500);
  assert.equal(await found(), `${all} alerts; the first 500 are printed`);
  assert.equal(await page.evaluate(rulesAreOpen), true, "the rules that fired are on paper");
  await page.evaluate(`dispatchEvent(new Event("afterprint"))`);
  assert.equal(await page.evaluate(rulesAreOpen), false);
  assert.equal(await found(), `${all} alerts`);
}

async function pressEnter(page: Page): Promise<void> {
  for (const type of ["keyDown", "keyUp"]) {
    await page.call("Input.dispatchKeyEvent", {
      type,
      key: "Enter",
      code: "Enter",
      text: type === "keyDown" ? "\r" : "",
      windowsVirtualKeyCode: 13,
    });
  }
}

/** The code of the page, read by another program's reader. */
async function readCode(page: Page, path: string, expected: string): Promise<void> {
  const clip = await page.evaluate<{ x: number; y: number; width: number; height: number }>(`(() => {
    const { left, top, width, height } = document.querySelector(".qr").getBoundingClientRect();
    return { x: left + scrollX, y: top + scrollY, width, height };
  })()`);
  await Deno.writeFile(path, await page.screenshot(clip));
  const { stdout } = await new Deno.Command("zbarimg", { args: ["-q", "--raw", path], stdin: "null", stderr: "null" })
    .output();
  assert.equal(new TextDecoder().decode(stdout), `${expected}\n`);
}

/** Every text of a report is a payload. */
function hostileWorld(): TestState {
  const state = new TestState();
  state.live();
  PAGE_PAYLOADS.forEach((text, at) => {
    const pid = 1_000 + at, time = NOW - 1_000_000 + at;
    const everywhere = { name: text, executable_path: `/${text}`, command_line: text, user_name: text };
    state.process(pid, {
      ...everywhere,
      parent_exec_id: at % 5 === 0 ? null : testProcess(pid - 1),
      start_time: time,
    });
    const event = state.event({ ...everywhere, pid, time, parent_name: text, parent_executable_path: text });
    state.alert(event, {
      ...everywhere,
      alert_id: `${text}@procmond:e1:${at}`,
      time,
      rule_id: text,
      title: text,
      description: text,
      tags: JSON.stringify([text]),
      exec_id: testProcess(pid),
      evidence: JSON.stringify({ [text]: text }),
      completeness: JSON.stringify({ complete: false, reasons: [text] }),
      cwd: text,
      container_id: text,
      stdin_kind: text,
      status: at % 2 === 0 ? "open" : text,
      muted_by: text,
    });
    state.insert("alert_history", {
      entry_id: at + 1,
      alert_id: `${text}@procmond:e1:${at}`,
      time,
      action: text,
      actor: text,
      text,
    });
    state.insert("detection_rules", { rule_id: text, title: text, state: "rejected", reason: text });
    state.insert("gaps", {
      gap_id: at + 1,
      source: text,
      record_kind: text,
      from_time: time,
      to_time: time + 1,
      reason: text,
    });
    if (at < 100) {
      state.insert("sources", {
        collector_id: text,
        name: text,
        state: text,
        detail: text,
        misses: JSON.stringify([text]),
      });
    }
  });
  for (const name of ["hostname", "os", "architecture"]) {
    state.insert("system_info", { name, value: PAGE_PAYLOADS[1]!, time: NOW });
  }
  return state;
}

Deno.test({
  name: "200 payloads in every text of a report stay text: none runs, and each can be read",
  ...needs({ programs: ["chromium"] }),
  async fn() {
    assert.equal(new Set(PAGE_PAYLOADS).size, 200);
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-report-" });
    using state = hostileWorld();
    const path = await writeReport(state, directory, "hostile");
    await using browser = await Chromium.start();
    // That they would run where nothing hinders them, and that this would be seen
    await Deno.writeTextFile(
      `${directory}/control.html`,
      `<!doctype html><title>x</title>${PAGE_PAYLOADS.slice(52, 60).join("\n")}`,
    );
    const control = await browser.open(`${directory}/control.html`, 1_400);
    assert.notEqual(await control.evaluate(`globalThis.pwned ?? null`), null);
    assert.ok(control.notes.dialogs.length > 0 && control.notes.requests.length > 0);
    await control.close();

    for (const width of WIDTHS) {
      const page = await browser.open(path, width);
      const texts: string[] = [];
      const pages = await page.evaluate<number>(
        `Number(document.getElementById("page").textContent.split(" ").at(-1))`,
      );
      // Every page of the list on the wide screen, the first on the narrow one
      const looked = width === WIDTHS[0] ? pages : 1;
      for (let at = 0; at < looked; at++) {
        await openAll(page, 50);
        texts.push(
          ...await page.evaluate<string[]>(
            `[...document.querySelectorAll("#list > li")].map((each) => each.textContent)`,
          ),
        );
        assert.deepEqual(await page.evaluate(CLIPPED), [], `${width} pixels`);
        await page.evaluate(`document.getElementById("after").click()`);
      }
      // Search goes through all of it as well
      await page.evaluate(`(async () => {
        const field = document.getElementById("search");
        field.value = "<script>";
        field.dispatchEvent(new Event("input", { bubbles: true }));
        await new Promise((resolve) => setTimeout(resolve, 400));
      })()`);
      const all = texts.join("\n");
      const shown = PAGE_PAYLOADS.filter((payload) => all.includes(printable(payload))).length;
      assert.ok(looked === 1 ? shown >= 50 : shown === PAGE_PAYLOADS.length, String(shown));
      assert.equal(await page.evaluate(`globalThis.pwned ?? null`), null);
      assert.match(await page.evaluate(`document.title`), /^DaemonEye report of/);
      const foreign = await page.evaluate<string[]>(`[...document.querySelectorAll("*")].filter((each) =>
        each.matches("img, iframe, object, embed, link, base, video, audio, math, template, textarea, animate, [srcdoc], [style], form[action]") ||
        each.getAttributeNames().some((name) => name.startsWith("on")) ||
        (each.hasAttribute("href") && !each.getAttribute("href").startsWith("#"))).map((each) => each.outerHTML.slice(0, 200))`);
      assert.deepEqual(foreign, []);
      assert.equal(await page.evaluate(`document.querySelectorAll("script").length`), 2);
      assertQuiet(page);
      await page.close();
    }
    await Deno.remove(directory, { recursive: true });
  },
});
