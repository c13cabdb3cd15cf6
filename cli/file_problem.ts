/**
 * Why a file cannot be read, in words, found before it is opened.
 *
 * A reader must not open what only looks like a file: a named pipe in its place would hold the program for ever.
 *
 * @module
 */

/** `null` when the path leads to a regular file, `absent` when nothing is there, else the reason with its mend. */
export function fileProblem(path: string): string | null {
  try {
    return Deno.statSync(path).isFile ? null : "it is not a regular file";
  } catch (error) {
    return readProblem(error);
  }
}

/** What an error of the file system means to a person; `absent` when nothing is there. */
export function readProblem(error: unknown): string {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return "absent";
  if (error instanceof Deno.errors.NotCapable) {
    return "it lies outside the directories that this program was started to read; start it with --state and the path of its state, or grant the path";
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return "you may not read it; become a member of the group that owns it (daemoneye), or ask root";
  }
  if (error instanceof Deno.errors.FilesystemLoop) return "its path is a loop of symbolic links; remove them";
  return error instanceof Error ? error.message : String(error);
}

/** The same of a directory that is to be listed. */
export function directoryProblem(path: string): string | null {
  try {
    for (const _ of Deno.readDirSync(path)) break;
    return null;
  } catch (error) {
    return readProblem(error);
  }
}
