/**
 * The RPCs of Gitaly from 13.0 to 19, to recognize limits on RPCs that no Gitaly has, and those that clones use.
 *
 * Origin: proto/*.proto at Gitaly's tags 13.0.0 to 16.7.0 and on its main branch of January 2024; the names in the
 * generated stubs of hgitaly 18.8.3, a server of Gitaly's protocol; and the RPCs on metrics pages of Gitaly's main
 * branch of May 2026 (test/fixtures/gitaly/19). RPCs that only Praefect serves are left out: Gitaly's limits never
 * apply to them. An RPC that is younger than all of these is not listed.
 */
import { isVersionAtLeast, type Version, version } from './version.ts';

/** Service without its package -> methods, removed ones included. */
const methods: Readonly<Record<string, string>> = {
  AnalysisService: 'CheckBlobsGenerated',
  BackupService: 'ReadLatestBackupID WriteBackupID',
  BlobService: `
    GetAllLFSPointers GetBlob GetBlobs GetLFSPointers GetNewLFSPointers ListAllBlobs
    ListAllLFSPointers ListBlobs ListLFSPointers`,
  CleanupService: 'ApplyBfgObjectMapStream RewriteHistory',
  CommitService: `
    CheckObjectsExist CommitIsAncestor CommitLanguages CommitStats CommitsBetween CommitsByMessage
    CountCommits CountDivergingCommits FilterShasWithSignatures FindAllCommits FindCommit
    FindCommits GetCommitMessages GetCommitSignatures GetTreeEntries LastCommitForPath
    ListAllCommits ListCommits ListCommitsByOid ListCommitsByRefName ListFiles
    ListLastCommitsForTree RawBlame TreeEntry`,
  ConflictsService: 'ListConflictFiles ResolveConflicts',
  DiffService: `
    CommitDelta CommitDiff DiffBlobs DiffStats FindChangedPaths GetPatchID RangeDiff RawDiff
    RawPatch RawRangeDiff`,
  HookService: `
    PackObjectsHook PackObjectsHookWithSidechannel PostReceiveHook PreReceiveHook ProcReceiveHook
    ReferenceTransactionHook UpdateHook`,
  InternalGitaly: `
    BackupRepos ListPoolMetadata ListPoolUpstreams ScanPoolMetadata StorePoolMetadata WalkRepos`,
  NamespaceService: 'AddNamespace NamespaceExists RemoveNamespace RenameNamespace',
  ObjectPoolService: `
    CreateObjectPool DeleteObjectPool DisconnectGitAlternates FetchIntoObjectPool GetObjectPool
    LinkRepositoryToObjectPool ReduplicateRepository UnlinkRepositoryFromObjectPool`,
  OperationService: `
    UserApplyPatch UserCherryPick UserCommitFiles UserCreateBranch UserCreateTag UserDeleteBranch
    UserDeleteTag UserFFBranch UserMergeBranch UserMergeToRef UserRebaseConfirmable UserRebaseToRef
    UserRevert UserSquash UserUpdateBranch UserUpdateSubmodule`,
  PartitionService: 'BackupPartition ListPartitions',
  RaftService: 'GetClusterInfo GetPartitions JoinCluster SendMessage SendSnapshot',
  RefService: `
    DeleteRefs FindAllBranchNames FindAllBranches FindAllRemoteBranches FindAllTagNames FindAllTags
    FindBranch FindDefaultBranchName FindLocalBranches FindRefName FindRefsByOID FindTag
    GetTagMessages GetTagSignatures ListBranchNamesContainingCommit ListNewBlobs ListNewCommits
    ListRefs ListTagNamesContainingCommit PackRefs RefExists UpdateReferences`,
  RemoteService: `
    AddRemote FetchInternalRemote FindRemoteRepository FindRemoteRootRef ListRemotes RemoveRemote
    UpdateRemoteMirror`,
  RepositoryService: `
    ApplyGitattributes BackupCustomHooks BackupRepository CalculateChecksum Cleanup CloneFromPool
    CloneFromPoolInternal CreateBundle CreateBundleFromRefList CreateFork CreateRepository
    CreateRepositoryFromBundle CreateRepositoryFromSnapshot CreateRepositoryFromURL DeleteConfig
    FastExport FetchBundle FetchHTTPRemote FetchRemote FetchSourceBranch FindLicense FindMergeBase
    Fsck FullPath GarbageCollect GenerateBundleURI GetArchive GetConfig GetCustomHooks
    GetFileAttributes GetInfoAttributes GetObjectDirectorySize GetRawChanges GetSnapshot
    HasLocalBranches IsRebaseInProgress IsSquashInProgress MidxRepack MigrateReferenceBackend
    ObjectFormat ObjectsSize OptimizeRepository PruneUnreachableObjects RemoveAll RemoveRepository
    RenameRepository RepackFull RepackIncremental ReplicateRepository RepositoryExists
    RepositoryInfo RepositorySize RestoreCustomHooks RestoreRepository SearchFilesByContent
    SearchFilesByName SetConfig SetCustomHooks SetFullPath WriteCommitGraph WriteRef`,
  SSHService: 'SSHReceivePack SSHUploadArchive SSHUploadPack SSHUploadPackWithSidechannel',
  ServerService: 'ClockSynced DiskStatistics ReadinessCheck ServerInfo ServerSignature',
  SmartHTTPService: `
    InfoRefsReceivePack InfoRefsUploadPack PostReceivePack PostUploadPack
    PostUploadPackWithSidechannel`,
  WikiService: `
    WikiDeletePage WikiFindFile WikiFindPage WikiGetAllPages WikiGetPageVersions WikiListPages
    WikiUpdatePage WikiWritePage`,
};

const rpcs: ReadonlySet<string> = new Set(
  Object.entries(methods).flatMap(([service, names]) =>
    names
      .trim()
      .split(/\s+/)
      .map((name) => `gitaly.${service}/${name}`),
  ),
);

/** @param name `gitaly.SSHService/SSHUploadPack` */
export const isGitalyRpc = (name: string): boolean => rpcs.has(name);

export interface CloneRpc {
  readonly name: string;
  readonly protocol: 'HTTP' | 'SSH';
  /** From then on GitLab's own clients use the one with a sidechannel alone. */
  readonly until?: Version;
}

/** 15.9 removed PostUploadPack. SSHUploadPack outlived it, unused by GitLab Shell. */
const sidechannelsOnly = version('15.9');

/** How Git's clients, CI jobs included, clone and fetch. */
export const cloneRpcs: readonly CloneRpc[] = [
  { name: 'gitaly.SmartHTTPService/PostUploadPack', protocol: 'HTTP', until: sidechannelsOnly },
  { name: 'gitaly.SmartHTTPService/PostUploadPackWithSidechannel', protocol: 'HTTP' },
  { name: 'gitaly.SSHService/SSHUploadPack', protocol: 'SSH', until: sidechannelsOnly },
  { name: 'gitaly.SSHService/SSHUploadPackWithSidechannel', protocol: 'SSH' },
];

/** Whether clients of this version still use it; undefined where that depends on a version that is not known. */
export const isUsedByClients = ({ until }: CloneRpc, gitlab: Version | undefined): boolean | undefined =>
  until === undefined ? true : gitlab === undefined ? undefined : !isVersionAtLeast(gitlab, until);
