/** Versions as programs and vendors write them, compared by the upstream project's release. */

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** alpha, beta or rc: before the release of that number. */
  readonly prerelease: boolean;
}

/**
 * The first version in the text: `v1.29.4-eks-1234`, `1.31.0+k3s1`, `16.4 (Debian 16.4-1)`, `17beta1`. Missing parts
 * are 0. Undefined where there is none.
 */
export function parseVersion(text: string): Version | undefined {
  const [, major, minor, patch, prerelease] =
    /(?<![\w.])v?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?[-.~]?(alpha|beta|rc)?/.exec(text) ?? [];
  return major === undefined
    ? undefined
    : {
        major: Number(major),
        minor: Number(minor ?? 0),
        patch: Number(patch ?? 0),
        prerelease: prerelease !== undefined,
      };
}

export const isVersionAtLeast = (found: Version, least: Version): boolean => {
  const difference = found.major - least.major || found.minor - least.minor || found.patch - least.patch || 0;
  return difference > 0 || (difference === 0 && (!found.prerelease || least.prerelease));
};

/** `containerd://1.7.22-k3s1`, the form of nodeInfo.containerRuntimeVersion. */
export function parseRuntime(text: string): { readonly name: string; readonly version: Version } | undefined {
  const [, name, rest] = /^([a-z][a-z0-9-]*):\/\/(.+)$/.exec(text) ?? [];
  const version = rest === undefined ? undefined : parseVersion(rest);
  return name === undefined || version === undefined ? undefined : { name, version };
}

/** The first GitLab with Gitaly. A lower tag, or one made of a date, is a mirror's own numbering. */
const firstWithGitaly = 9;
const lastPlausible = 99;

/** GitLab's version, from an image: `registry.gitlab.com/gitlab-org/build/cng/gitaly:v18.10.0`. */
export function imageVersion(image: string): Version | undefined {
  const [, tag] = /:([^:/@]+)(?:@[^/]*)?$/.exec(image) ?? [];
  const found = tag === undefined || !/^v?\d+\.\d+/.test(tag) ? undefined : parseVersion(tag);
  return found === undefined || found.major < firstWithGitaly || found.major > lastPlausible
    ? undefined
    : found;
}

export const versionText = ({ major, minor, patch }: Version): string =>
  patch === 0 ? `${major}.${minor}` : `${major}.${minor}.${patch}`;

/** For constants in the code; throws RangeError where the text holds no version. */
export function version(text: string): Version {
  const parsed = parseVersion(text);
  if (parsed === undefined) throw new RangeError(`no version in ${JSON.stringify(text)}`);
  return parsed;
}
