/**
 * The values of a Sigma item as they are looked for: as texts, as numbers, and as the modifiers make them.
 *
 * @module
 */
import type { YamlScalar } from "../rules/located_yaml.ts";
import type { Item } from "./detection.ts";
import { Unaskable } from "./forms.ts";
import { base64Offsets, bytesOf, dashed, MAX_VARIANTS, plainText, type SigmaText } from "./text.ts";

/** A value as a text: what is no text in YAML, as it is written. */
export function textOf(value: YamlScalar, written: string): string {
  if (value === null) throw new Unaskable("null is no value to compare by this modifier");
  return written;
}

/** A value as a number that is compared exactly. @throws Unaskable */
export function numberOf(value: YamlScalar): number {
  const number = typeof value === "string" && /^-?[0-9]+(\.[0-9]+)?$/.test(value) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isFinite(number)) {
    throw new Unaskable(`A number is expected, not ${JSON.stringify(String(value).slice(0, 64))}`);
  }
  if (
    Number.isInteger(number) ? !Number.isSafeInteger(number) : String(number).length > 17 || /e/.test(String(number))
  ) {
    throw new Unaskable(`The number ${number} has more digits than are compared exactly`);
  }
  return number;
}

/** What the modifiers that change a text make of it. */
export function encoded({ windash, utf16, base64 }: Item["modifiers"], text: SigmaText): SigmaText[] {
  const texts = windash ? dashed(text) : [text];
  if (texts === null) throw new Unaskable(`windash makes more than ${MAX_VARIANTS} texts of this one`);
  if (base64 === null) {
    if (utf16 !== null) {
      throw new Unaskable(`${utf16} without base64 looks for zero bytes, which no text of an event has`);
    }
    return texts;
  }
  return texts.flatMap((each): SigmaText[] => {
    const plain = plainText(each);
    if (plain === null) throw new Unaskable(`A text with wildcards has no form in ${base64}`);
    const bytes = bytesOf(plain, utf16);
    if (base64 === "base64") return [bytes.length === 0 ? [] : [bytes.toBase64()]];
    const forms = base64Offsets(bytes);
    if (forms === null) throw new Unaskable("A text this short has no part that is in its base64 forms always");
    return forms.map((form) => [form]);
  });
}
