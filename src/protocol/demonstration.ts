// Says which models are too small to be company; the page and the terminal tell a person so.

const DEMONSTRATION_PARAMETERS = 50_000_000;

/** True for models such as the companion, which show how Attune works and little more. */
export function isDemonstration(parameters: number | null): boolean {
  return parameters !== null && parameters < DEMONSTRATION_PARAMETERS;
}
