#!/bin/sh
# Makes what is made: the single files from the overlays, and the operator's rules from the plain ones. Needs kubectl.
set -eu
cd "$(dirname "$0")"

for name in all-nodes simple node2; do
  kubectl kustomize "overlays/$name" > "vllm-router-$name.yaml"
done

cat > monitoring/prometheus-rule.yaml << 'END'
# Made from rules.yaml by ../render.sh. Do not edit by hand.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: vllm-router
  labels:
    app: vllm-router
    app.kubernetes.io/name: vllm-router
    app.kubernetes.io/part-of: vllm
spec:
END
sed -n '/^groups:/,$p' monitoring/rules.yaml | sed 's/^./  &/' >> monitoring/prometheus-rule.yaml
