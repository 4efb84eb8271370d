{{/* Conditions are "true" or empty. */}}

{{- define "gitaly-exporter.isOpenShift" -}}
{{- if eq (toString .Values.openshift.enabled) "auto" -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}true{{- end -}}
{{- else if .Values.openshift.enabled -}}true
{{- end -}}
{{- end -}}

{{- define "gitaly-exporter.metricsMode" -}}
{{- if ne .Values.metrics.mode "auto" -}}
{{- .Values.metrics.mode -}}
{{- else if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}operator
{{- else -}}annotations
{{- end -}}
{{- end -}}

{{/* The ConfigMap with Praefect's configuration; empty: none. */}}
{{- define "gitaly-exporter.praefectConfigMap" -}}
{{- with .Values.praefect.database -}}
{{- if .configMap.name -}}
{{- .configMap.name -}}
{{- else if and (not .url) (hasSuffix "-dbsecret" .secret.name) -}}
{{- trimSuffix "-dbsecret" .secret.name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gitaly-exporter.readsDatabase" -}}
{{- if .Values.praefect.enabled -}}
{{- with .Values.praefect.database -}}
{{- if or .url (include "gitaly-exporter.praefectConfigMap" $) -}}true
{{- else if .secret.name -}}
{{- fail "praefect.database has a Secret but no address: set praefect.database.url, or praefect.database.configMap.name to the ConfigMap with Praefect's configuration (RELEASE-praefect of the GitLab chart)" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
