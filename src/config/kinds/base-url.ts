/** A kind of setting: the base URL of a web application, to which paths are appended. */
import { bad } from '../problem.ts';
import { type Kind, problemOf, Refusal, scalar } from './kind.ts';

/** An http or https URL without user, query and fragment; trailing slashes are removed. */
export function baseUrl(example: string): Kind<string> {
  const kind = withoutUser(example);
  return Object.freeze<Kind<string>>({
    ...kind,
    read(raw, name) {
      // A refusal quotes the value, and what is before an @ may be a password.
      if (raw.form !== 'text' || !/^[a-z]+:\/\/[^/]*@/i.test(raw.text.trim())) return kind.read(raw, name);
      return bad(problemOf(raw.origin, name, 'its value (not shown) has a user: remove user and password'));
    },
  });
}

const withoutUser = (example: string): Kind<string> =>
  scalar({
    name: 'URL',
    placeholder: '<url>',
    expected: `a URL such as ${example}`,
    parse(found) {
      const url = URL.parse(found.trim());
      if (url === null || !/^https?:$/.test(url.protocol))
        return new Refusal('start it with https:// or http://');
      if (url.search !== '' || url.hash !== '') return new Refusal('leave out the part from ? or # on');
      return found.trim().replace(/\/+$/, '');
    },
    print: (url) => url,
  });
