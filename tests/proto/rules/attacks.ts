/**
 * Attacks on the guard, and mutations of them that mean the same to SQLite.
 *
 * A class says whether SQLite's authorizer has to stop it without any other layer. The expressions of a class are put into
 * every place where an expression can stand, since what one visitor of a syntax tree forgets is where attacks hide.
 *
 * @module
 */
import type { Random } from "../../fuzz/random.ts";

const P = "FROM process_events";

export interface AttackClass {
  readonly name: string;
  /** Stopped by the authorizer alone, without guard and limits. */
  readonly authorizer: boolean;
  readonly queries: readonly string[];
}

/** Places of an expression, `@` in each. */
const PLACES: readonly string[] = [
  `SELECT @ ${P}`,
  `SELECT DISTINCT pid, @ AS x ${P}`,
  `SELECT (@) ${P}`,
  `SELECT ((((@)))) ${P}`,
  `SELECT CAST(@ AS TEXT) ${P}`,
  `SELECT -@ ${P}`,
  `SELECT coalesce(NULL, @) ${P}`,
  `SELECT max(pid, lower(@)) ${P}`,
  `SELECT pid ${P} WHERE @`,
  `SELECT pid ${P} WHERE NOT @`,
  `SELECT pid ${P} WHERE @ = 1`,
  `SELECT pid ${P} WHERE @ IS NULL`,
  `SELECT pid ${P} WHERE name IN (@)`,
  `SELECT pid ${P} WHERE name IN ('a', @, 'b')`,
  `SELECT pid ${P} WHERE @ IN (1, 2)`,
  `SELECT pid ${P} WHERE pid BETWEEN 1 AND @`,
  `SELECT pid ${P} WHERE pid BETWEEN @ AND 9`,
  `SELECT pid ${P} WHERE @ LIKE 'a%'`,
  `SELECT pid ${P} WHERE @ REGEXP 'a'`,
  `SELECT pid ${P} WHERE 'a' || @ <> 'b'`,
  `SELECT pid ${P} WHERE argv ->> @ = 'x'`,
  `SELECT CASE @ WHEN 1 THEN 2 END ${P}`,
  `SELECT CASE WHEN @ THEN 2 END ${P}`,
  `SELECT CASE WHEN 1 THEN @ ELSE 2 END ${P}`,
  `SELECT CASE WHEN 1 THEN 2 ELSE @ END ${P}`,
  `SELECT iif(1, @, 2) ${P}`,
  `SELECT count(@) ${P}`,
  `SELECT count(DISTINCT @) ${P}`,
  `SELECT count(*) FILTER (WHERE @) ${P}`,
  `SELECT sum(pid) OVER (PARTITION BY @ ORDER BY pid) ${P}`,
  `SELECT sum(pid) OVER (ORDER BY @) ${P}`,
  `SELECT lag(pid, 1, @) OVER (ORDER BY pid) ${P}`,
  `SELECT pid ${P} GROUP BY @`,
  `SELECT pid ${P} GROUP BY pid HAVING @`,
  `SELECT pid ${P} ORDER BY @`,
  `SELECT pid ${P} ORDER BY pid, @ DESC NULLS LAST`,
  `SELECT a.pid ${P} a JOIN alerts b ON @`,
  `SELECT a.pid ${P} a LEFT JOIN alerts b ON a.pid = b.pid AND @`,
  `SELECT pid ${P} WHERE pid IN (SELECT @ FROM alerts)`,
  `SELECT (SELECT @ FROM alerts LIMIT 1) ${P}`,
  `SELECT x FROM (SELECT @ AS x ${P}) AS t`,
  `WITH t AS (SELECT @ AS x ${P}) SELECT x FROM t`,
  `WITH t(x) AS (SELECT @ ${P}) SELECT t.x FROM t JOIN t AS u ON u.x = t.x`,
  `SELECT pid ${P} UNION ALL SELECT @ FROM alerts`,
  `SELECT pid ${P} EXCEPT SELECT pid FROM alerts WHERE @`,
];

/** What EXISTS selects SQLite throws away unread, tables and all: only the guard sees it. */
const THROWN_AWAY = `SELECT pid ${P} WHERE EXISTS (SELECT @ FROM alerts)`;

function everywhere(...expressions: string[]): string[] {
  return expressions.flatMap((expression) => PLACES.map((place) => place.replace("@", () => expression)));
}

/** Functions that the attacks call and that this build of SQLite lacks: the test defines them, so that they could be called. */
export const LACKING = ["load", "readfile", "writefile", "edit", "eval", "exec", "system", "shell", "foo_bar"] as const;

const FUNCTIONS = [
  "load_extension('x')",
  "load_extension('x', 'y')",
  "readfile('/etc/shadow')",
  "writefile('/tmp/x', 'y')",
  "edit('x')",
  "eval('SELECT 1')",
  "exec('id')",
  "system('id')",
  "shell('id')",
  "load('x')",
  "foo_bar(1)",
  "random()",
  "randomblob(1000000000)",
  "zeroblob(1000000000)",
  "printf('%.*c', 1000000000, 'x')",
  "format('%.*c', 1000000000, 'x')",
  "char(65, 66)",
  "unicode('a')",
  "quote(name)",
  "typeof(name)",
  "sqlite_version()",
  "sqlite_source_id()",
  "last_insert_rowid()",
  "changes()",
  "total_changes()",
  "sqlite_compileoption_get(1)",
  "fts3_tokenizer('simple')",
  "json_group_array(1)",
  "glob('a*', name)",
  "likelihood(1, 0.5)",
];

export const ATTACKS: readonly AttackClass[] = [
  { name: "forbidden functions", authorizer: true, queries: everywhere(...FUNCTIONS) },
  {
    name: "operators that are functions",
    authorizer: true,
    queries: everywhere("(name GLOB '*a*a*a*a*')", "(name NOT GLOB '*')", "(name MATCH 'x')", "(name NOT MATCH 'x')"),
  },
  {
    name: "tables beyond the catalog, in an expression",
    authorizer: true,
    queries: everywhere(
      "(SELECT a FROM secrets)",
      "EXISTS (SELECT 1 FROM secrets)",
      "(pid IN (SELECT a FROM secrets))",
      "(SELECT sql FROM sqlite_master)",
      "(SELECT sql FROM sqlite_schema LIMIT 1)",
      "(SELECT count(*) FROM sqlite_temp_master)",
      "(SELECT name FROM pragma_table_info('secrets'))",
      "(SELECT value FROM json_each('[1]'))",
      "(SELECT count(*) FROM json_tree('{}'))",
    ),
  },
  {
    name: "tables beyond the catalog, and past the views",
    authorizer: true,
    queries: [
      "SELECT * FROM secrets",
      "SELECT 1 FROM secrets",
      "SELECT count(*) FROM secrets",
      "SELECT * FROM sqlite_master",
      "SELECT * FROM pragma_database_list",
      "SELECT * FROM pragma_function_list()",
      "SELECT name FROM processes UNION SELECT a FROM secrets",
      "SELECT s.a FROM processes p JOIN secrets s ON 1",
      "SELECT p.pid FROM processes p LEFT JOIN secrets s ON s.a = p.pid",
      "WITH t AS (SELECT * FROM secrets) SELECT * FROM t",
      "WITH process_events AS (SELECT * FROM secrets) SELECT * FROM process_events",
      "WITH process_events AS (SELECT name FROM main.process_events) SELECT * FROM process_events",
      "SELECT * FROM (SELECT name FROM main.process_events) process_events",
      "SELECT name FROM main.process_events",
      "SELECT count(*) FROM main.process_events",
      "SELECT * FROM secrets AS process_events",
      "SELECT * FROM main.secrets",
    ],
  },
  {
    name: "recursion",
    authorizer: true,
    queries: [
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
      "WITH c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
      `WITH c(x) AS (SELECT pid ${P} UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c`,
      `WITH c(x) AS (SELECT pid ${P} UNION SELECT c.x + 1 FROM c JOIN alerts a ON 1) SELECT x FROM c`,
      `SELECT pid ${P} WHERE pid IN (WITH c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c)`,
      "WITH a AS (SELECT 1 AS x), c(x) AS (SELECT x FROM a UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
    ],
  },
  {
    name: "statements that change something",
    authorizer: true,
    queries: [
      "DROP TABLE main.processes",
      "DROP VIEW process_events",
      "DELETE FROM main.processes",
      "UPDATE main.processes SET pid = 1",
      "INSERT INTO main.processes (pid) VALUES (1)",
      "REPLACE INTO main.processes (pid) VALUES (1)",
      "INSERT INTO main.processes (pid) SELECT pid FROM processes RETURNING pid",
      "WITH a AS (SELECT 1) DELETE FROM main.processes",
      "CREATE TABLE t (a)",
      "CREATE TEMP TABLE t AS SELECT * FROM secrets",
      "CREATE TEMP VIEW v AS SELECT 1",
      "CREATE INDEX main.i ON processes (pid)",
      "CREATE TRIGGER main.t AFTER INSERT ON processes BEGIN SELECT 1; END",
      "ALTER TABLE main.processes RENAME TO p",
      "PRAGMA writable_schema = 1",
      "PRAGMA table_info(processes)",
      "ATTACH ':memory:' AS x",
      "ATTACH DATABASE '/etc/passwd' AS x",
      "DETACH main",
      "ANALYZE",
      "REINDEX",
      "BEGIN",
      "COMMIT",
      "SAVEPOINT s",
    ],
  },
  {
    // SQLite ignores the second statement, prepares VACUUM and EXPLAIN, and knows no budget
    name: "what only the guard sees",
    authorizer: false,
    queries: [
      "VACUUM",
      "VACUUM INTO '/tmp/x'",
      THROWN_AWAY.replace("@", "(SELECT a FROM secrets)"),
      THROWN_AWAY.replace("@", "EXISTS (SELECT 1 FROM secrets)"),
      THROWN_AWAY.replace("@", "load_extension('x')"),
      `SELECT pid ${P}; DROP TABLE processes`,
      `SELECT pid ${P}; SELECT a FROM secrets`,
      `EXPLAIN SELECT pid ${P}`,
      `EXPLAIN QUERY PLAN SELECT pid ${P}`,
      "VALUES (1)",
      "SELECT 1",
      `SELECT a.pid ${P} a, process_events b, process_events c`,
      `SELECT a.pid ${P} a CROSS JOIN process_events b`,
      `SELECT a.pid ${P} a JOIN process_events b`,
      `SELECT a.pid ${P} a NATURAL JOIN processes b`,
      `SELECT a.pid ${P} a JOIN alerts b ON 1 JOIN alerts c ON 1 JOIN alerts d ON 1 JOIN alerts e ON 1 JOIN alerts f ON 1`,
      `SELECT pid ${P} WHERE pid = ?`,
      `SELECT pid ${P} WHERE name LIKE cwd`,
      `SELECT pid ${P} WHERE name LIKE upper(hex(name))`,
      `SELECT pid ${P} WHERE name REGEXP cwd`,
      `SELECT pid ${P} WHERE name REGEXP '(?=(a+)+)b'`,
      `SELECT pid ${P} WHERE name REGEXP '(a{500}){3}'`,
      `SELECT pid ${P} ORDER BY name COLLATE NOCASE`,
      `SELECT ${"(".repeat(300)}1${")".repeat(300)} ${P}`,
      `SELECT pid ${P} WHERE ${Array(3_000).fill("pid = 1").join(" OR ")}`,
      `SELECT ${Array(51).fill("pid").join(", ")} ${P}`,
      `SELECT pid ${P} GROUP BY ${Array(11).fill("pid").join(", ")}`,
      `SELECT x'41' ${P}`,
      `SELECT rowid ${P}`,
      `SELECT "no_such_column" ${P}`,
      `SELECT pid ${P} LIMIT (SELECT 1 ${P})`,
      `SELECT sum(pid) OVER (ORDER BY pid ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ${P}`,
      "WITH x AS MATERIALIZED (SELECT pid FROM alerts) SELECT pid FROM x",
      `SELECT pid ${P} INDEXED BY i`,
      `SELECT (pid, ppid) = (1, 2) ${P}`,
      `SELECT pid ${P} WHERE pid IN (SELECT pid ${P} WHERE pid IN (SELECT pid ${P} WHERE pid IN (SELECT pid ${P} WHERE pid IN (SELECT 1 ${P}))))`,
    ],
  },
];

/** Texts, quoted names, words, numbers, spaces and single symbols. */
const PIECES = /'(?:[^']|'')*'|"[^"]*"|[A-Za-z_][A-Za-z0-9_]*|[0-9.]+|\s+|->>|->|\|\||<>|<=|>=|!=|[^]/g;
const KEYWORDS = new Set(
  ("select,from,where,and,or,not,in,is,null,like,regexp,glob,match,between,case,when,then,else,end,cast,as,join,left,on," +
    "group,by,having,order,desc,nulls,last,exists,with,recursive,union,all,except,distinct,filter,over,partition,limit," +
    "drop,table,view,delete,update,set,insert,into,replace,values,returning,create,temp,index,trigger,after,begin,alter," +
    "rename,to,pragma,attach,database,detach,analyze,reindex,commit,savepoint,vacuum,explain,query,plan,cross,natural," +
    "collate,indexed,materialized,rows,unbounded,preceding,following,text").split(","),
);

/** What SQLite reads as space, or nothing but a space. */
const SPACES = [
  " ",
  "\t",
  "\n",
  "\f",
  "\r",
  "\r\n",
  "  \n  ",
  "/**/",
  "/* ' */",
  "/*;*/",
  "-- x\n",
  "--'\n",
  "/*\n--*/",
  " /*/ */ ",
];
/** What looks like space, or like nothing. */
const FALSE_SPACES = ["\u00a0", "\u3000", "\u200b", "\ufeff", "\u2028", "\u0085", "\v", "\0"];
const LOOKALIKES: Readonly<Record<string, string>> = {
  a: "а",
  c: "с",
  d: "ｄ",
  e: "е",
  i: "і",
  k: "\u212a",
  o: "ο",
  p: "р",
  s: "ſ",
  x: "х",
};

/**
 * A query that SQLite reads as this one, or as none. Where it may be `odd`, some have characters that look like others or
 * like nothing, and a NUL, at which SQLite ends the text: what is left may be harmless, but is nothing to let through.
 */
export function mutated(query: string, random: Random, odd = true): string {
  let pieces: string[] = query.match(PIECES)!;
  const space = random.pick([1, 2, 4]), strange = odd && random.oneIn(12);
  pieces = pieces.map((piece, i) => {
    if (/^\s+$/.test(piece)) {
      if (strange && random.oneIn(6)) return random.pick(FALSE_SPACES);
      return random.oneIn(space) ? spaces(random) : piece;
    }
    if (/^[A-Za-z_]/.test(piece)) return word(piece, pieces[i - 1] ?? "", pieces[i + 1] ?? "", strange, random);
    if (/^[(),=+]$/.test(piece) && random.oneIn(4)) {
      return random.oneIn(2) ? piece + spaces(random) : spaces(random) + piece;
    }
    return piece;
  });
  let text = pieces.join("");
  if (random.oneIn(8)) text = spaces(random) + text;
  if (random.oneIn(8)) text += random.pick([";", ";;", " ;-- x", "/* x */", "\n", "; /* x */"]);
  if (random.oneIn(24)) text = `(${text})`;
  return text;
}

function spaces(random: Random): string {
  let text = "";
  do text += random.pick(SPACES); while (random.oneIn(3));
  // A comment alone separates two words, to SQLite
  return text;
}

function word(piece: string, before: string, after: string, strange: boolean, random: Random): string {
  if (strange && random.oneIn(8)) {
    const at = random.below(piece.length), other = LOOKALIKES[piece[at]!.toLowerCase()];
    if (other !== undefined) return piece.slice(0, at) + other + piece.slice(at + 1);
    return random.pick([`${piece}\u0301`, `${piece}\u200d`, `\u202e${piece}`]);
  }
  const keyword = KEYWORDS.has(piece.toLowerCase());
  const cased = random.oneIn(2)
    ? piece
    : [...piece].map((letter) => random.oneIn(2) ? letter.toUpperCase() : letter.toLowerCase()).join("");
  if (keyword || random.oneIn(2)) return cased;
  const call = after === "(", qualified = before === "." || after === ".";
  switch (random.below(call || qualified ? 4 : 6)) {
    case 0:
      return `"${cased}"`;
    case 1:
      return `\`${cased}\``;
    case 2:
      return `[${cased}]`;
    case 3:
      return cased;
    case 4:
      return `${random.pick(["main", "temp", '"main"', "MAIN", "[main]"])}${
        random.pick([".", " . ", "/**/./**/"])
      }${cased}`;
    default:
      return `"${cased}"`;
  }
}
