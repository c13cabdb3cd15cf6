/**
 * A headless Chromium, driven over its DevTools protocol, that notes everything which a page must not do.
 *
 * Needs the program `chromium`. A call that gets no answer fails after {@linkcode DEADLINE_MS}.
 *
 * @module
 */
import assert from "node:assert/strict";

const DEADLINE_MS = 120_000;

/** What the protocol says; only what is asked for is looked at. */
// deno-lint-ignore no-explicit-any -- JSON of another program, read in tests alone
type Message = any;

export interface PageNotes {
  /** Errors and warnings of the console, exceptions, violations of the page's policy. */
  readonly complaints: string[];
  /** Addresses that were asked for, without the page itself. */
  readonly requests: string[];
  /** Dialogs that a script opened. */
  readonly dialogs: string[];
}

export class Chromium implements AsyncDisposable {
  readonly #directory: string;
  readonly #process: Deno.ChildProcess;
  readonly #errors: Promise<string | null>;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<Message>>();
  readonly #listeners = new Set<(message: Message) => void>();
  #next = 1;

  private constructor(
    directory: string,
    process: Deno.ChildProcess,
    errors: Promise<string | null>,
    socket: WebSocket,
  ) {
    [this.#directory, this.#process, this.#errors, this.#socket] = [directory, process, errors, socket];
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(String(data));
      if (message.id === undefined) { for (const listener of this.#listeners) listener(message); }
      else if (message.error !== undefined) this.#take(message.id)?.reject(new Error(message.error.message));
      else this.#take(message.id)?.resolve(message.result);
    };
    socket.onclose = () => {
      for (const id of [...this.#waiting.keys()]) this.#take(id)!.reject(new Error("The browser has ended"));
    };
  }

  static async start(): Promise<Chromium> {
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-chromium-" });
    const process = new Deno.Command("chromium", {
      args: [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"],
        ...["--hide-scrollbars", "--disable-background-networking", "--remote-debugging-port=0"],
        ...[`--user-data-dir=${directory}/profile`, "about:blank"],
      ],
      env: { HOME: directory },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const address = Promise.withResolvers<string>();
    const errors = readErrors(process.stderr, (url) => address.resolve(url)).then((text) => {
      address.reject(new Error(`Chromium did not start: ${text}`));
      return text;
    });
    const socket = new WebSocket(await address.promise);
    await new Promise((resolve, reject) => [socket.onopen, socket.onerror] = [resolve, reject]);
    return new Chromium(directory, process, errors, socket);
  }

  /** One call of the protocol, of a page or of the browser. */
  async call(method: string, params: Record<string, unknown>, sessionId?: string): Promise<Message> {
    const id = this.#next++, answer = Promise.withResolvers<Message>();
    this.#waiting.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params, ...sessionId === undefined ? {} : { sessionId } }));
    const late = setTimeout(() => this.#take(id)?.reject(new Error(`No answer to ${method}`)), DEADLINE_MS);
    try {
      return await answer.promise;
    } finally {
      clearTimeout(late);
    }
  }

  #take(id: number): PromiseWithResolvers<Message> | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  /** A page that shows a file, when its document and its scripts have run. */
  async open(path: string, width: number, height = 900, theme: "light" | "dark" = "light"): Promise<Page> {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, targetId, sessionId, `file://${path}`);
    const loaded = Promise.withResolvers<void>();
    const listen = (message: Message): void => {
      if (message.sessionId !== sessionId) return;
      if (message.method === "Page.loadEventFired") loaded.resolve();
      page.note(message);
    };
    this.#listeners.add(listen);
    for (const domain of ["Page", "Runtime", "Network", "Log", "Audits"]) await page.call(`${domain}.enable`);
    await page.resize(width, height);
    await page.theme(theme);
    await page.call("Page.navigate", { url: page.url });
    await loaded.promise;
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    this.#process.kill("SIGKILL");
    await Promise.all([closed, this.#process.status, this.#errors]);
    // Children of the browser end after it, and write to its profile until then
    for (let attempt = 0;; attempt++) {
      try {
        return await Deno.remove(this.#directory, { recursive: true });
      } catch (error) {
        if (attempt === 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

export class Page {
  readonly notes: PageNotes = { complaints: [], requests: [], dialogs: [] };

  constructor(
    private readonly browser: Chromium,
    private readonly targetId: string,
    private readonly session: string,
    readonly url: string,
  ) {}

  call(method: string, params: Record<string, unknown> = {}): Promise<Message> {
    return this.browser.call(method, params, this.session);
  }

  note({ method, params }: Message): void {
    switch (method) {
      case "Network.requestWillBeSent":
        if (params.request.url !== this.url) this.notes.requests.push(params.request.url);
        break;
      case "Runtime.consoleAPICalled":
        this.notes.complaints.push(`console ${JSON.stringify(params.args)}`);
        break;
      case "Runtime.exceptionThrown":
        this.notes.complaints.push(JSON.stringify(params.exceptionDetails));
        break;
      case "Log.entryAdded":
        this.notes.complaints.push(`${params.entry.source}: ${params.entry.text}`);
        break;
      case "Audits.issueAdded":
        this.notes.complaints.push(JSON.stringify(params.issue));
        break;
      case "Page.javascriptDialogOpening":
        this.notes.dialogs.push(params.message);
        void this.call("Page.handleJavaScriptDialog", { accept: false });
        break;
    }
  }

  /** The value of an expression, awaited, which the page's policy does not hinder. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      allowUnsafeEvalBlockedByCSP: true,
    });
    assert.ok(exceptionDetails === undefined, JSON.stringify(exceptionDetails));
    return result.value;
  }

  async resize(width: number, height: number): Promise<void> {
    await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  }

  async theme(theme: "light" | "dark"): Promise<void> {
    await this.call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: theme }] });
  }

  /** The whole page as PNG, or a part of it. */
  async screenshot(clip?: { x: number; y: number; width: number; height: number }): Promise<Uint8Array> {
    const { data } = await this.call("Page.captureScreenshot", {
      format: "png",
      captureBeyondViewport: true,
      ...clip === undefined ? {} : { clip: { ...clip, scale: 1 } },
    });
    return Uint8Array.fromBase64(data);
  }

  async close(): Promise<void> {
    await this.browser.call("Target.closeTarget", { targetId: this.targetId });
  }
}

/** Reads to the end, and tells the address of the protocol as soon as it is said. */
async function readErrors(stream: ReadableStream<Uint8Array>, found: (url: string) => void): Promise<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    text = (text + piece).slice(-10_000);
    const url = /DevTools listening on (ws:\/\/\S+)/.exec(text)?.[1];
    if (url !== undefined) found(url);
  }
  return text;
}
