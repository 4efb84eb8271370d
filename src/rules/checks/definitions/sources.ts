/** Where the recommendations stand, so that the same page has one name. */
const page = 'GitLab: Gitaly on Kubernetes';
export const pageUrl = 'https://docs.gitlab.com/administration/gitaly/kubernetes/';

export const requirements = `${page}, 'Requirements'`;
export const priority = `${page}, 'Use PriorityClass'`;
export const autoscaling = `${page}, 'Signal node autoscaling to prevent eviction'`;
export const constrain = `${page}, 'Constrain Git processes resource usage'`;
export const rightSize = `${page}, 'Right size Pod resources'`;
export const concurrency = `${page}, 'Configure concurrency limiting'`;
export const isolate = `${page}, 'Isolate Gitaly pods'`;
export const volumePermissions = `${page}, 'Persistent Volume permissions'`;
export const probes = `${page}, 'Health probes'`;
export const shutdown = `${page}, 'Gitaly graceful shutdown timeout'`;
export const disk = `${page}, 'Monitor disk usage'`;
export const beyond = 'Beyond that page';
