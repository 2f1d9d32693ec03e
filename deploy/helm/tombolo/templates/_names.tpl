{{/* Labels of an object of a component: (list . "agent"). */}}
{{- define "tombolo.labels" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: tombolo
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ $.Chart.Name }}-{{ $.Chart.Version }}
{{- end }}

{{/* Labels by which a component's pods are chosen; they never change. */}}
{{- define "tombolo.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: tombolo
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "tombolo.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Name of the secret of a certificate: (list . "node"). */}}
{{- define "tombolo.secret" -}}
{{- $ := index . 0 -}}
{{- index $.Values.certificates.secrets (index . 1) | default (printf "%s-%s" $.Values.nameOverride (index . 1)) -}}
{{- end }}

{{- define "tombolo.embedded" -}}
{{- if eq .Values.apiserver.etcd.mode "embedded" }}true{{ end -}}
{{- end }}

{{/* Domain of the API servers' pods, each of which has its name below it. */}}
{{- define "tombolo.pods" -}}
{{ .Values.nameOverride }}-apiserver.{{ .Release.Namespace }}.svc.{{ .Values.cluster.domain }}
{{- end }}

{{/* URLs of etcd for agents and speakers. */}}
{{- define "tombolo.endpoints" -}}
{{- if include "tombolo.embedded" . -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.apiserver.replicas) -}}
{{- $urls = append $urls (printf "https://%s-apiserver-%d.%s:2379" $.Values.nameOverride $i (include "tombolo.pods" $)) -}}
{{- end -}}
{{ join "," $urls }}
{{- else -}}
{{ join "," .Values.apiserver.etcd.endpoints }}
{{- end -}}
{{- end }}

{{/* The members of the embedded etcd toward each other. */}}
{{- define "tombolo.members" -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.apiserver.replicas) -}}
{{- $name := printf "%s-apiserver-%d" $.Values.nameOverride $i -}}
{{- $urls = append $urls (printf "%s=https://%s.%s:2380" $name $name (include "tombolo.pods" $)) -}}
{{- end -}}
{{ join "," $urls }}
{{- end }}

{{/* Names and addresses for which etcd's certificate holds, as JSON lists. */}}
{{- define "tombolo.hosts" -}}
{{- $service := printf "%s-etcd.%s" .Values.nameOverride .Release.Namespace -}}
{{- $names := list "localhost" (printf "*.%s" (include "tombolo.pods" .)) $service (printf "%s.svc" $service) (printf "%s.svc.%s" $service .Values.cluster.domain) -}}
{{- $addresses := list "127.0.0.1" "::1" -}}
{{- range .Values.apiserver.extraNames -}}
{{- if regexMatch "^[0-9.]+$|:" . -}}
{{- $addresses = append $addresses . -}}
{{- else -}}
{{- $names = append $names . -}}
{{- end -}}
{{- end -}}
{{ dict "names" $names "addresses" $addresses | toJson }}
{{- end }}

{{/* An address and port to listen on. */}}
{{- define "tombolo.listen" -}}
{{- $address := (index . 0).Values.apiserver.etcd.address -}}
https://{{ if contains ":" $address }}[{{ $address }}]{{ else }}{{ $address }}{{ end }}:{{ index . 1 }}
{{- end }}

{{/* A container that may do nothing but what is added: (list "BPF" …). */}}
{{- define "tombolo.confined" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  {{- with . }}
  add: [{{ join ", " . }}]
  {{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The SELinux type of a pod that uses what is the node's: (list . "agent"). That
     of other containers may write neither to the node's /run nor to its bpffs. */}}
{{- define "tombolo.selinux" -}}
{{- with (index (index . 0).Values (index . 1)).seLinuxType -}}
securityContext:
  seLinuxOptions: {type: {{ . }}}
{{- end }}
{{- end }}

{{/* Probes of a role. The liveness of a role that waits for its store is no
     reason to restart it, so it asks whether the process answers at all. */}}
{{- define "tombolo.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  initialDelaySeconds: 10
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{/* What a pod of a component has for scheduling: (list . "agent"). */}}
{{- define "tombolo.place" -}}
{{- $ := index . 0 -}}
{{- with index $.Values (index . 1) -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with $.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels and annotations of a component's pods. */}}
{{- define "tombolo.podMeta" -}}
{{- $ := index . 0 -}}
{{- $values := index $.Values (index . 1) -}}
labels:
  {{- include "tombolo.labels" . | nindent 2 }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ index . 1 }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
