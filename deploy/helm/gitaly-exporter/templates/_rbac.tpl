{{/* A role and its binding. Call with a dict: root, name, component (cluster or agent), rules, and namespace; without a namespace
they are a ClusterRole and a ClusterRoleBinding. `components`: the service accounts that are bound. */}}
{{- define "gitaly-exporter.role" -}}
{{- $prefix := ternary "" "Cluster" (hasKey . "namespace") -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}Role
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "gitaly-exporter.labels" .root | nindent 4 }}
rules:
{{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}RoleBinding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "gitaly-exporter.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $prefix }}Role
  name: {{ .name }}
subjects:
  {{- range .accounts }}
  - kind: ServiceAccount
    name: {{ . }}
    namespace: {{ $.root.Release.Namespace }}
  {{- end }}
{{- end -}}

{{/* Of the exporter for the cluster, in each namespace with Gitaly. Call with a list: the root, and the core resources. */}}
{{- define "gitaly-exporter.clusterRules" -}}
{{- $root := index . 0 -}}
# Gitaly's and Praefect's pods, their events, StatefulSets and disruption budgets.
- apiGroups: [""]
  resources: {{ index . 1 | toJson }}
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch]
{{- if $root.Values.scrapePods }}
# Gitaly's configured limits: the ConfigMaps that its pods mount, by name.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
{{- end }}
{{- end -}}

{{/* For kubernetes.volume-stats. */}}
{{- define "gitaly-exporter.kubeletRules" -}}
- apiGroups: [""]
  resources: [nodes/proxy]
  verbs: [get]
{{- end -}}

{{- define "gitaly-exporter.watchRules" -}}
- apiGroups: [""]
  resources: {{ toJson . }}
  verbs: [list, watch]
{{- end -}}
