{{/* Fields of the pod template that all pods share. Call with the root. */}}
{{- define "gitaly-exporter.podSpec" -}}
automountServiceAccountToken: true
# Otherwise Kubernetes adds variables that begin with GITALY_EXPORTER_ for the Services.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if not (include "gitaly-exporter.isOpenShift" .) }}
  runAsUser: {{ .Values.runAsUser }}
  runAsGroup: {{ .Values.runAsGroup }}
  {{- end }}
  {{- if semverCompare ">=1.19-0" .Capabilities.KubeVersion.Version }}
  seccompProfile:
    type: RuntimeDefault
  {{- end }}
{{- end -}}

{{/* Annotations of the pod template. Call with a list: the root, the values of the component, the name of its ConfigMap template. */}}
{{- define "gitaly-exporter.podAnnotations" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
{{- if $values.config }}
checksum/config: {{ toYaml $values.config | sha256sum }}
{{- end }}
{{- if eq (include "gitaly-exporter.metricsMode" $root) "annotations" }}
prometheus.io/scrape: "true"
prometheus.io/port: "9656"
prometheus.io/path: /metrics
{{- end }}
{{- include "gitaly-exporter.seccompAnnotation" $root }}
{{- with $values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Before Kubernetes 1.19 there is no field for it. */}}
{{- define "gitaly-exporter.seccompAnnotation" -}}
{{- if semverCompare "<1.19-0" .Capabilities.KubeVersion.Version }}
seccomp.security.alpha.kubernetes.io/pod: runtime/default
{{- end }}
{{- end -}}

{{/* Fields of the container that all pods share. */}}
{{- define "gitaly-exporter.container" -}}
image: {{ include "gitaly-exporter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Variables of all exporters: what they watch. */}}
{{- define "gitaly-exporter.env" -}}
- name: GITALY_EXPORTER_KUBERNETES_ENABLED
  value: "true"
{{- with .Values.gitalyNamespaces }}
- name: GITALY_EXPORTER_KUBERNETES_NAMESPACE
  value: {{ join "," . | quote }}
{{- end }}
- name: GITALY_EXPORTER_KUBERNETES_GITALY_SELECTOR
  value: {{ .Values.gitalySelector | quote }}
- name: GITALY_EXPORTER_KUBERNETES_PRAEFECT_SELECTOR
  value: {{ .Values.praefectSelector | quote }}
- name: GITALY_EXPORTER_LOG_LEVEL
  value: {{ .Values.log.level }}
- name: GITALY_EXPORTER_LOG_FORMAT
  value: {{ .Values.log.format }}
{{- end -}}

{{/* Variables of the exporter for the cluster. */}}
{{- define "gitaly-exporter.clusterEnv" -}}
{{ include "gitaly-exporter.env" . }}
- name: GITALY_EXPORTER_KUBERNETES_ROLE
  value: cluster
- name: GITALY_EXPORTER_KUBERNETES_SCRAPE
  value: {{ .Values.scrapePods | quote }}
- name: GITALY_EXPORTER_KUBERNETES_VOLUME_STATS
  value: {{ .Values.volumeStats | quote }}
{{- if include "gitaly-exporter.readsDatabase" . }}
{{- with .Values.praefect.database }}
{{- with .url }}
- name: GITALY_EXPORTER_PRAEFECT_DATABASE_URL
  value: {{ . | quote }}
{{- end }}
{{- if include "gitaly-exporter.praefectConfigMap" $ }}
- name: GITALY_EXPORTER_PRAEFECT_CONFIG_FILE
  value: /etc/gitaly-exporter/praefect/{{ .configMap.key }}
{{- end }}
{{- with .user }}
- name: GITALY_EXPORTER_PRAEFECT_DATABASE_USER
  value: {{ . | quote }}
{{- end }}
{{- if .secret.name }}
- name: GITALY_EXPORTER_PRAEFECT_DATABASE_PASSWORD_FILE
  value: /etc/gitaly-exporter/database/password
{{- end }}
{{- if .tls.secretName }}
# Where the address or Praefect's configuration names no other file.
- name: PGSSLROOTCERT
  value: /etc/postgresql/ssl/server-ca.pem
{{- if .tls.certKey }}
- name: PGSSLCERT
  value: /etc/postgresql/ssl/client-certificate.pem
- name: PGSSLKEY
  value: /etc/postgresql/ssl/client-key.pem
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.cluster.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Arguments of `serve` and `doctor` of a component. Call with the values of the component. */}}
{{- define "gitaly-exporter.args" -}}
{{- if .config }}
- --config.file=/etc/gitaly-exporter/config/config.yml
{{- end }}
{{- with .extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gitaly-exporter.clusterMounts" -}}
{{- if include "gitaly-exporter.readsDatabase" . }}
{{- with .Values.praefect.database }}
{{- if .secret.name }}
- name: database
  mountPath: /etc/gitaly-exporter/database
  readOnly: true
{{- end }}
{{- if include "gitaly-exporter.praefectConfigMap" $ }}
- name: praefect-config
  mountPath: /etc/gitaly-exporter/praefect
  readOnly: true
{{- end }}
{{- if .tls.secretName }}
# The paths in the configuration that the GitLab chart writes for Praefect.
- name: database-tls
  mountPath: /etc/postgresql/ssl
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.cluster.config }}
- name: config
  mountPath: /etc/gitaly-exporter/config
  readOnly: true
{{- end }}
{{- with .Values.cluster.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gitaly-exporter.clusterVolumes" -}}
{{- if include "gitaly-exporter.readsDatabase" . }}
{{- with .Values.praefect.database }}
{{- if .secret.name }}
- name: database
  secret:
    secretName: {{ .secret.name }}
    items:
      - key: {{ .secret.key }}
        path: password
{{- end }}
{{- if include "gitaly-exporter.praefectConfigMap" $ }}
- name: praefect-config
  configMap:
    name: {{ include "gitaly-exporter.praefectConfigMap" $ }}
    items:
      - key: {{ .configMap.key }}
        path: {{ .configMap.key }}
{{- end }}
{{- with .tls }}
{{- if .secretName }}
- name: database-tls
  secret:
    secretName: {{ .secretName }}
    items:
      - key: {{ .caKey }}
        path: server-ca.pem
      {{- if .certKey }}
      - key: {{ .certKey }}
        path: client-certificate.pem
      - key: {{ required "praefect.database.tls.keyKey is required with certKey" .keyKey }}
        path: client-key.pem
      {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.cluster.config }}
- name: config
  configMap:
    name: {{ include "gitaly-exporter.fullname" . }}
{{- end }}
{{- with .Values.cluster.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where pods of a component run. Call with the values of the component. */}}
{{- define "gitaly-exporter.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
