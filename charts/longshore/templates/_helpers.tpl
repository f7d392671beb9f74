{{- define "longshore.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "longshore.fullname" -}}
{{- $name := include "longshore.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* The labels by which the operator's pod is found. A run's NetworkPolicy lets pods with this app name in. */ -}}
{{- define "longshore.selector" -}}
app.kubernetes.io/name: longshore-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "longshore.labels" -}}
{{ include "longshore.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "longshore.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "longshore.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "longshore.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- /* What workers of lowpriority ComputeClusters get, as the operator reads it. */ -}}
{{- define "longshore.lowPriority" -}}
{{- with .Values.lowPriority -}}
{{- dict "priorityClassName" .priorityClass.name "nodeSelector" .nodeSelector "tolerations" .tolerations | toJson -}}
{{- end -}}
{{- end -}}

{{- /*
All that the operator may do, in a Role or the ClusterRole: what it does, verb by verb, and nothing else. A test on a
cluster compares this with what the API server saw. Objects that are applied are created by that, which needs `create`.
*/ -}}
{{- define "longshore.rules" -}}
- apiGroups: [longshore.dev]
  resources: [pipelines, computeclusters, datastores, environments]
  verbs: [list, watch]
- apiGroups: [longshore.dev]
  resources: [datasets, models]
  verbs: [list, watch, create]  # create: what steps register; never change or delete
- apiGroups: [longshore.dev]
  resources: [pipelineruns]
  verbs: [list, watch, delete]  # delete: ttlSecondsAfterFinished, and the limits of a Pipeline's history
- apiGroups: [longshore.dev]
  resources: [parallelrunsteps, scriptsteps, transfersteps]
  verbs: [list, watch, create, patch, delete]  # applied and deleted for PipelineRuns; also ttlSecondsAfterFinished
- apiGroups: [longshore.dev]
  resources:
    - pipelines/status
    - pipelineruns/status
    - parallelrunsteps/status
    - scriptsteps/status
    - transfersteps/status
    - computeclusters/status
    - datasets/status
    - models/status
  verbs: [patch]
- apiGroups: [""]
  resources: [pods, services]
  verbs: [list, watch, create, delete]  # of all that is listed and watched here, what has the label of the operator
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create]  # get: sources, which have no label
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, delete]  # never list or watch, which would show all Secrets
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- /* Takes the CEL rules out of a schema: API servers before 1.25 refuse them in what is applied. */ -}}
{{- define "longshore.unsetRules" -}}
{{- if kindIs "map" . -}}
{{- $_ := unset . "x-kubernetes-validations" -}}
{{- range . }}{{ include "longshore.unsetRules" . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- range . }}{{ include "longshore.unsetRules" . }}{{ end -}}
{{- end -}}
{{- end -}}
