{{- define "gitaly-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "gitaly-exporter.fullname" -}}
{{- $name := include "gitaly-exporter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gitaly-exporter.agentName" -}}
{{- include "gitaly-exporter.fullname" . }}-agent
{{- end -}}

{{/* Of objects outside of the release's namespace: two releases of one name in two namespaces must not share them. */}}
{{- define "gitaly-exporter.clusterName" -}}
{{- $fullname := include "gitaly-exporter.fullname" . -}}
{{- if contains .Release.Namespace $fullname -}}
{{- $fullname -}}
{{- else -}}
{{- printf "%s-%s" $fullname .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{- define "gitaly-exporter.clusterAccount" -}}
{{- .Values.cluster.serviceAccount.name | default (include "gitaly-exporter.fullname" .) -}}
{{- end -}}

{{- define "gitaly-exporter.agentAccount" -}}
{{- .Values.agent.serviceAccount.name | default (include "gitaly-exporter.agentName" .) -}}
{{- end -}}

{{/* Labels that never change: a selector cannot be changed. */}}
{{- define "gitaly-exporter.selector" -}}
app.kubernetes.io/name: {{ include "gitaly-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gitaly-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "gitaly-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gitaly-exporter.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}
