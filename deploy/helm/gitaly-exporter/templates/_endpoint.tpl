{{/* Call with a list: the root, and the value of the label job. */}}
{{- define "gitaly-exporter.endpoint" -}}
{{- with index . 0 -}}
{{- $endpoint := .Values.metrics.endpoint -}}
port: http-metrics
interval: {{ .Values.metrics.interval }}
scrapeTimeout: {{ .Values.metrics.scrapeTimeout }}
# The labels namespace, pod and node of the series are those of Gitaly (docs/scraping.md).
honorLabels: true
{{- with omit $endpoint "relabelings" }}
{{ toYaml . }}
{{- end }}
relabelings:
  # The job that alerts and dashboards select, whatever the release is called.
  - targetLabel: job
    replacement: {{ index $ 1 }}
  {{- with $endpoint.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
