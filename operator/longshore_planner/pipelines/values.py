"""The values of a pipeline's parameters, with the places that they hold resolved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from longshore_api.data import Dataset, Datastore
from longshore_api.errors import InvalidDocuments, listed
from longshore_api.validation import field_path
from longshore_planner.catalogue import Documents
from longshore_planner.cluster.provision import in_pods as place_in_pods
from longshore_planner.pipelines.parameters import Given, read_values
from longshore_planner.pipelines.template import Template
from longshore_planner.places import is_url, join
from longshore_planner.references import References


def settle_values(template: Template, given: Iterable[Given], documents: Documents, *, in_pods: bool) -> dict[str, Any]:
    """Return the parameters' values; a place that one holds is resolved, a Dataset that one names is there.

    `in_pods` makes places what the pods of a cluster know. Raises InvalidDocuments.
    """
    declared = template.spec.parameters
    path = field_path((*template.loc, "parameters"))
    values = read_values(declared, given, where=template.where, path=path)
    references = References(documents, template.document)
    for each in declared:
        value = values[each.name]
        if each.type == "dataset" and documents.find(Dataset, value.value) is None:
            known = listed(documents.names(Dataset))
            text = f"is {value.value!r}: there is no such Dataset; the documents have {known}"
            references.tell(value.problem(text))
        if each.type == "datapath":
            asked = value.value if isinstance(value.value, dict) else {"path": value.value}
            find = _place_in_pods if in_pods else _place_here
            place = find(asked["path"], asked.get("datastore"), references, value.path)
            values[each.name] = Given(each.name, place, value.where, value.path)
    if references.problems:
        raise InvalidDocuments(references.problems)
    return {name: each.value for name, each in values.items()}


def _place_here(path: str, datastore: str | None, references: References, field: str) -> str:
    return references.place(path, datastore, references.step, field)


def _place_in_pods(path: str, datastore: str | None, references: References, field: str) -> str:
    """Return a place as pods know it; whether a Datastore has it is seen where it is used."""
    if is_url(path):
        return place_in_pods(path)
    stores = references.documents.of(Datastore)
    if datastore is not None:
        found = references.find(Datastore, datastore, references.step, field)
    else:
        found = next((each for each in stores if each.resource.spec.default), None)
    return path if found is None else place_in_pods(join(found.resource.spec.uri, path))
