/** A secret that no log, page, error or JSON can show by accident; only `reveal` returns it. */
import { inspect } from 'node:util';

const redacted = '<secret>';

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The only access to the value. Call it only where the value is passed to the driver. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [inspect.custom](): string {
    return redacted;
  }
}
