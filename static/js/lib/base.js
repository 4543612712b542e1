// The path below which the portal stands, where it shares its host with other sites; empty at its top.

/**
 * A path of the portal, such as `/jobs`, as the browser is to ask for it.
 *
 * @param {string} path
 */
export const at = (path) => `${globalThis.document?.body?.dataset?.base ?? ''}${path}`;
