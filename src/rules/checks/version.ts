/** Versions as programs and their vendors write them, compared by what the project itself released. */

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** alpha, beta or rc: before the release of that number. */
  readonly early: boolean;
}

/**
 * The first version in the text: `v1.29.4-eks-1234`, `1.31.0+k3s1`, `16.4 (Debian 16.4-1)`, `17beta1`. What is
 * not said is 0. Undefined where there is none.
 */
export function parseVersion(text: string): Version | undefined {
  const [, major, minor, patch, early] =
    /(?<![\w.])v?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?[-.~]?(alpha|beta|rc)?/.exec(text) ?? [];
  return major === undefined
    ? undefined
    : {
        major: Number(major),
        minor: Number(minor ?? 0),
        patch: Number(patch ?? 0),
        early: early !== undefined,
      };
}

/** `18.10`, `2.1.0`: the number that is asked for. */
export const isAtLeast = (found: Version, least: Version): boolean => {
  const difference = found.major - least.major || found.minor - least.minor || found.patch - least.patch || 0;
  return difference > 0 || (difference === 0 && (!found.early || least.early));
};

/** `containerd://1.7.22-k3s1`, as nodeInfo.containerRuntimeVersion has it. */
export function parseRuntime(text: string): { readonly name: string; readonly version: Version } | undefined {
  const [, name, rest] = /^([a-z][a-z0-9-]*):\/\/(.+)$/.exec(text) ?? [];
  const version = rest === undefined ? undefined : parseVersion(rest);
  return name === undefined || version === undefined ? undefined : { name, version };
}

/** Of GitLab, from an image: `registry.gitlab.com/gitlab-org/build/cng/gitaly:v18.10.0`. A tag without one has none. */
export function imageVersion(image: string): Version | undefined {
  const [, tag] = /:([^:/@]+)(?:@[^/]*)?$/.exec(image) ?? [];
  return tag === undefined || !/^v?\d+\.\d+/.test(tag) ? undefined : parseVersion(tag);
}

export const versionText = ({ major, minor, patch }: Version): string =>
  patch === 0 ? `${major}.${minor}` : `${major}.${minor}.${patch}`;

/** For constants of ours; throws where the text is no version. */
export function version(text: string): Version {
  const parsed = parseVersion(text);
  if (parsed === undefined) throw new RangeError(`${text} is no version`);
  return parsed;
}
