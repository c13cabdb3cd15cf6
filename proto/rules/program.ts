/**
 * What a rule's form becomes in the stream lane, made once for each form.
 *
 * A rule that stays while others change keeps its form, and so its program: an engine with one rule more costs what
 * that one costs, and the index over all.
 *
 * @module
 */
import { type Form, formSize } from "./predicate.ts";
import type { Predicate } from "./predicate_calls.ts";
import { compilePredicate } from "./predicate_js.ts";
import { furtherTerms, requiredTerms, type Term } from "./required_terms.ts";

export interface Program {
  readonly predicate: Predicate;
  /** `null` for one that every row is asked about. */
  readonly terms: readonly Term[] | null;
  /** Of these too a row has one that matches; `null` for nothing further. */
  readonly further: readonly Term[] | null;
}

/** Size of the forms between two steps, as {@linkcode formSize} tells it: a millisecond or two. */
const SIZE_A_STEP = 1_024;

const PROGRAMS = new WeakMap<Form, Program>();

/** The program of a form. */
export function programOf(form: Form): Program {
  let program = PROGRAMS.get(form);
  if (program === undefined) {
    PROGRAMS.set(
      form,
      program = {
        predicate: compilePredicate(form),
        terms: requiredTerms(form),
        further: furtherTerms(form),
      },
    );
  }
  return program;
}

/** Makes the programs of many forms, with room for other work between the steps. */
export function* preparePrograms(forms: readonly Form[]): Generator<void> {
  let left = SIZE_A_STEP;
  for (const form of forms) {
    if (PROGRAMS.has(form)) continue;
    programOf(form);
    if ((left -= formSize(form)) > 0) continue;
    left = SIZE_A_STEP;
    yield;
  }
}
