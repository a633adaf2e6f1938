// Checks Kubernetes objects against the CRDs of Istio 1.29, as the package @kubernetes-models/istio has them compiled.
//
// In: a JSON array of objects. Out: a JSON array, for each object the list of what is wrong with it (empty: nothing).
// A CRD lets fields pass that it does not know, and the API server drops them without a word: so a field that the
// validator never looked at is told too. Where a CRD takes anything, as in a plugin's configuration, it looks at nothing;
// those places are listed in FREE, and what is in them is run on a real Envoy instead.
import { AuthorizationPolicy } from "@kubernetes-models/istio/security.istio.io/v1/AuthorizationPolicy";
import { EnvoyFilter } from "@kubernetes-models/istio/networking.istio.io/v1alpha3/EnvoyFilter";
import { Telemetry } from "@kubernetes-models/istio/telemetry.istio.io/v1/Telemetry";
import { WasmPlugin } from "@kubernetes-models/istio/extensions.istio.io/v1alpha1/WasmPlugin";
import { readFileSync } from "node:fs";

const MODELS = {
  "extensions.istio.io/v1alpha1 WasmPlugin": WasmPlugin,
  "networking.istio.io/v1alpha3 EnvoyFilter": EnvoyFilter,
  "security.istio.io/v1 AuthorizationPolicy": AuthorizationPolicy,
  "telemetry.istio.io/v1 Telemetry": Telemetry,
};
const FREE = [/^\/spec\/pluginConfig$/, /^\/spec\/configPatches\/\d+\/patch\/value$/];

// A view of `value` that notes the path of every property that is read.
function watched(value, path, read) {
  if (typeof value !== "object" || value === null) return value;
  return new Proxy(value, {
    get(target, key) {
      if (typeof key !== "string") return target[key];
      read.add(`${path}/${key}`);
      return watched(target[key], `${path}/${key}`, read);
    },
  });
}

function unread(value, path, read, found) {
  if (typeof value !== "object" || value === null || FREE.some((free) => free.test(path))) return found;
  for (const [key, below] of Object.entries(value)) {
    const here = `${path}/${key}`;
    if (read.has(here)) unread(below, here, read, found);
    else found.push(`${here}: no such field`);
  }
  return found;
}

function faults(object) {
  const name = `${object.apiVersion} ${object.kind}`;
  const Model = MODELS[name];
  if (Model === undefined) return [`${name}: no schema at hand`];
  const read = new Set();
  try {
    Model.prototype.validate.call(watched(object, "", read));
  } catch (error) {
    return [String(error.message ?? error)];
  }
  return unread(object, "", read, []);
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(faults)));
