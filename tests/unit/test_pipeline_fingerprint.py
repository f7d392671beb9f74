"""Fingerprints: what is in them, and the one sentence that says why a step runs again."""

import pytest
from pipelines import document, frozen, script

from longshore_api import InvalidDocuments
from longshore_planner.pipelines.fingerprint import digest, why_not

BASE = {
    "kind": "script",
    "code": {"train.py": "aaa", "lib/util.py": "bbb"},
    "entry": "train.py",
    "arguments": ["--alpha", "x", "0.5"],
    "params": {"depth": "3"},
    "environment": {"image": "slim:1", "variables": {"A": "1"}},
    "models": {"mnist 1": "/models/1"},
    "inputs": {"digits": {"paths": ["/data"]}},
    "outputs": {"out": {}},
    "settings": {"nodeCount": 2},
    "version": "",
    "steps": {"prepare": "run-1/prepare"},
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"code": {**BASE["code"], "train.py": "ccc"}}, "code changed: train.py"),
        ({"code": {"train.py": "aaa", "new.py": "n"}}, "code changed: lib/util.py and new.py"),
        ({"code": {f"{name}.py": "n" for name in "abcde"}}, "code changed: a.py, b.py and 5 more"),
        ({"entry": "other.py"}, "the script changed from train.py to other.py"),
        ({"arguments": ["--alpha", "x", "0.6"]}, "argument 3 changed from 0.5 to 0.6"),
        ({"arguments": [*BASE["arguments"], "--fast"]}, "arguments were added: --fast"),
        ({"arguments": ["--alpha"]}, "arguments were removed: x 0.5"),
        ({"params": {"depth": "4"}}, "param depth changed from 3 to 4"),
        (
            {"environment": {"image": "slim:2", "variables": {"A": "1"}}},
            "the environment's image changed from slim:1 to slim:2",
        ),
        (
            {"environment": {"image": "slim:1", "variables": {"A": "1"}, "packages": {"requirements": ["numpy"]}}},
            "the environment's packages changed from none to numpy",
        ),
        ({"environment": {"image": "slim:1", "variables": {}}}, "environment variable A changed from 1 to none"),
        ({"models": {"mnist 2": "/models/2"}}, "model mnist 1 changed; model mnist 2 changed"),
        ({"inputs": {"digits": {"paths": ["/other"]}}}, "input digits changed"),
        ({"contents": {"input digits": "d1"}}, "the earlier run did not record the contents of its inputs"),
        ({"outputs": {"out": {"mode": "upload"}}}, "output out changed"),
        ({"settings": {}}, "nodeCount changed from 2 to the default"),
        ({"version": "2"}, "version changed from '' to '2'"),
        ({"steps": {"prepare": "run-2/prepare"}}, "step prepare, which it reads from, ran again"),
        ({}, "nothing changed"),
    ],
)
def test_each_difference_has_its_words(change, sentence):
    changed = {**BASE, **change}
    assert why_not(changed, BASE) == sentence
    assert (digest(changed) == digest(BASE)) == (not change)


HELD = {
    **BASE,
    "contents": {"input digits": "d1", "model mnist 1": "m1"},
    "held": {"input digits": {"count": 2, "files": {"a.csv": "1", "b.csv": "2"}}, "model mnist 1": {"count": 1}},
}
MANY = {**HELD, "held": {"input digits": {"count": 120_000}}}


def with_files(digest="d2", *, of=HELD, **held):
    """The parts of a step of which the input "digits" holds something else."""
    return {
        **of,
        "contents": {**of["contents"], "input digits": digest},
        "held": {**of["held"], "input digits": held},
    }


@pytest.mark.parametrize(
    ("now", "before", "sentence"),
    [
        (with_files(count=2, files={"a.csv": "9", "b.csv": "2"}), HELD, 'input "digits": the file "a.csv" changed'),
        (with_files(count=1, files={"b.csv": "2"}), HELD, 'input "digits": the file "a.csv" was removed'),
        (
            with_files(count=3, files={"a.csv": "1", "b.csv": "2", "c.csv": "3"}),
            HELD,
            'input "digits": the file "c.csv" was added',
        ),
        (
            with_files(count=2, files={"b.csv": "9", "c.csv": "3"}),
            HELD,
            'input "digits": the file "a.csv" was removed and 2 more',
        ),
        (
            with_files(of=MANY, count=120_000),
            MANY,
            'input "digits": one or more of its 120,000 files changed; which ones was not recorded',
        ),
        (
            with_files(of=MANY, count=120_001),
            MANY,
            'input "digits": it has 120,001 files, and had 120,000; which ones differ was not recorded',
        ),
        (
            {**HELD, "contents": {**HELD["contents"], "model mnist 1": "m2"}},
            HELD,
            'model "mnist 1": one or more of its 1 files changed; which ones was not recorded',
        ),
        (with_files(unknown="why"), HELD, 'input "digits": its files cannot be compared: why'),
        (HELD, with_files(unknown="why"), 'input "digits": its files could not be compared in the earlier run: why'),
        (
            {**HELD, "contentFingerprint": "digests"},
            HELD,
            "contentFingerprint changed from stamps to digests",
        ),
        (
            HELD,
            {**HELD, "contents": {"digits": "d0"}},
            "; ".join(
                f"{name}: one of the two runs did not record its files"
                for name in ('input "digits"', 'model "mnist 1"')
            ),
        ),
    ],
)
def test_the_file_that_changed_is_named_where_it_is_known(now, before, sentence):
    assert why_not(now, before) == sentence
    assert digest(now) != digest(before)


def test_what_only_names_a_change_does_not_make_one():
    assert digest({**HELD, "held": {}}) == digest(HELD)


def test_several_differences_are_one_sentence_with_the_steps_own_first():
    changed = {**BASE, "steps": {"prepare": "run-2/prepare"}, "version": "2", "arguments": [], "entry": "other.py"}
    assert why_not(changed, BASE) == (
        "the script changed from train.py to other.py; arguments were removed: --alpha x 0.5; "
        "version changed from '' to '2'; 1 more"
    )


def test_the_order_of_keys_changes_nothing_and_that_of_arguments_does():
    assert digest(dict(reversed(BASE.items()))) == digest(BASE)
    assert digest({**BASE, "arguments": BASE["arguments"][::-1]}) != digest(BASE)


def parts(step=None, *, documents=(), run_id="run-1", **more):
    return frozen(step or script("only", **more), documents=documents, run_id=run_id).steps[0].parts


def test_neither_run_nor_pipeline_nor_descriptions_are_in_a_fingerprint():
    assert digest(parts(run_id="run-2")) == digest(parts())
    described = script("only")
    described["script"]["description"] = "does it all"
    assert digest(parts(described)) == digest(parts())


def test_retries_and_timeouts_are_not_in_a_fingerprint():
    assert digest(parts(retries=3, timeoutSeconds=9, runAfter=[])) == digest(parts())


def test_an_environment_counts_by_its_definition_and_not_by_its_name():
    def of(name, **spec):
        return digest(parts(environment={"name": name}, documents=(document("Environment", name, **spec),)))

    assert of("one", image="slim:1") == of("other", image="slim:1")
    assert of("one", image="slim:1") != of("one", image="slim:2")


def test_a_dataset_counts_by_its_definition_and_not_by_its_name():
    def of(name, path):
        dataset = document("Dataset", name, file={"paths": [path]})
        return digest(parts(inputs=[{"name": "data", "dataset": name}], documents=(dataset,)))

    assert of("one", "/data/a") == of("other", "/data/a")
    assert of("one", "/data/a") != of("one", "/data/b")


EMPTY = {
    "a variable": lambda values: {"environmentVariables": values},
    "a variable of the environment": lambda values: {"environment": {"name": "e"}},
    "a param": lambda values: {"params": values},
}


@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("others", [{}, {"B": "1"}], ids=["alone", "beside another"])
def test_a_text_that_is_empty_is_another_than_none(kind, others):
    def of(values):
        environment = document("Environment", "e", python="python", variables=values)
        return parts(
            {"name": "only", "script": {"scriptName": "s.py", **EMPTY[kind](values)}}, documents=(environment,)
        )

    assert digest(of({"A": "", **others})) != digest(of(others))
    what = "param" if kind == "a param" else "environment variable"
    assert why_not(of({"A": "", **others}), of(others)) == f"{what} A changed from none to ''"


def test_a_number_that_is_written_as_a_string_is_the_same_setting():
    def of(size, count):
        parallel = {
            "inputs": [{"name": "data", "file": {"paths": ["/data"]}}],
            "entryScript": "score.py",
            "outputAction": "summary_only",
            "miniBatchSize": size,
            "nodeCount": count,
        }
        return digest(parts({"name": "score", "parallelRun": parallel}))

    assert of("5", "2") == of(5, 2)
    assert of("5", "2") != of("6", "2")


def test_a_name_that_is_no_utf8_has_the_same_fingerprint_once_an_api_server_has_kept_it():
    assert digest({"code": {"a\udce9.py": "1"}}) == digest({"code": {"a\ufffd.py": "1"}})


def test_a_query_counts_by_its_text_and_its_database_and_no_contents_are_reported():
    def of(query, *, name="sales", uri="postgresql://db/sales"):
        tabular = {"format": "sql", "datastore": name, "query": query}
        data = document("Dataset", "rows", tabular=tabular), document("Datastore", name, uri=uri)
        inputs = [{"name": "rows", "dataset": "rows"}, {"name": "more", "tabular": {"paths": ["/data/*.csv"]}}]
        spec = {"inputs": inputs, "entryScript": "score.py", "outputAction": "summary_only"}
        (found,) = frozen({"name": "score", "parallelRun": spec}, documents=data).steps
        assert found.locations == {"input more": ["/data/*.csv"]}
        return digest(found.parts)

    assert of("SELECT 1") == of("SELECT 1", name="other")
    assert len({of("SELECT 1"), of("SELECT 2"), of("SELECT 1", uri="postgresql://db/other")}) == 3


def test_a_script_is_given_no_rows_of_a_database():
    data = document("Dataset", "rows", tabular={"format": "sql", "datastore": "sales", "query": "SELECT 1"})
    store = document("Datastore", "sales", uri="postgresql://db/sales")
    with pytest.raises(InvalidDocuments, match="holds rows of a database, which only a ParallelRunStep can read"):
        parts(inputs=[{"name": "rows", "dataset": "rows"}], documents=(data, store))
