{{/*
Gitaly's pods in the cluster, as a JSON list of NAMESPACE/POD, from the StatefulSets. Empty with helm template, and where the person
who installs may not have the rights that rbac.yaml grants, because a refused list would fail the installation.
*/}}
{{- define "gitaly-exporter.gitalyPods" -}}
{{- $selector := dict -}}
{{- range splitList "," .Values.gitalySelector -}}
{{- $pair := splitList "=" (replace "==" "=" .) -}}
{{- $_ := set $selector (first $pair | trim) (last $pair | trim) -}}
{{- end -}}
{{- $pods := list -}}
{{- if and .Values.rbac.create .Values.cluster.enabled -}}
{{- range .Values.gitalyNamespaces | default (list "") -}}
{{- range $set := (lookup "apps/v1" "StatefulSet" . "").items -}}
{{- $labels := $set.spec.template.metadata.labels | default dict -}}
{{- $matches := true -}}
{{- range $key, $value := $selector -}}
{{- if ne (get $labels $key | default "") $value -}}{{- $matches = false -}}{{- end -}}
{{- end -}}
{{- if $matches -}}
{{- range until (int $set.spec.replicas) -}}
{{- $pods = append $pods (printf "%s/%s-%d" $set.metadata.namespace $set.metadata.name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $pods -}}
{{- end -}}
