/** A kind of setting: the base URL of a web application, to which paths are appended. */
import { type Kind, Refusal, scalar } from './kind.ts';

/** An http or https URL without user, query and fragment; trailing slashes are removed. */
export const baseUrl = (example: string): Kind<string> =>
  scalar({
    name: 'URL',
    placeholder: '<url>',
    expected: `a URL such as ${example}`,
    unquotable: (found) =>
      /^[a-z]+:\/\/[^/]*@/i.test(found.trim()) ? 'has a user: remove user and password' : undefined,
    parse(found) {
      const url = URL.parse(found.trim());
      if (url === null || !/^https?:$/.test(url.protocol))
        return new Refusal('start it with https:// or http://');
      if (url.search !== '' || url.hash !== '') return new Refusal('leave out the part from ? or # on');
      return found.trim().replace(/\/+$/, '');
    },
    print: (url) => url,
  });
