/** No web configuration file. Apart from the rest, so that its parser and schema load only where there is a file. */
import type { LoadedWebConfig, WebConfigSource } from './source.ts';

const emptyConfig: LoadedWebConfig = {
  config: {
    tls: undefined,
    isHttp2Requested: false,
    headers: new Map(),
    users: new Map(),
    rateLimit: undefined,
  },
  tls: undefined,
};

/** Without a file: plain HTTP, no authentication. */
export const noWebConfig: WebConfigSource = {
  current: () => ({ ok: true, loaded: emptyConfig }),
  last: () => ({ ok: true, loaded: emptyConfig }),
  subscribe: () => () => undefined,
};
