import re

import pytest

from aecompanion.data.clusters import other_in_cluster, wordnet_clusters
from aecompanion.data.objects import CLUSTERS

EDGES = [
    "all animal",
    "all thing",
    "animal cat",
    "animal dog",
    "animal fox",
    "thing cup",
    "thing jar",
    "thing pan",
    "thing pot",
]
CLASSES = ["pot", "fox", "cup", "dog", "jar", "cat", "pan"]


@pytest.fixture
def hierarchy(tmp_path):
    """Writes lines to a file and returns it."""

    def write(lines):
        file = tmp_path / "wordnet.is_a.txt"
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    return write


def failure(file, rest):
    return f"^{re.escape(f'{file}: {rest}')}$"


# clusters of a hierarchy


def test_a_node_with_all_classes_below_it_is_the_only_cluster(hierarchy):
    assert wordnet_clusters(hierarchy(EDGES), CLASSES) == {"all": [0, 1, 2, 3, 4, 5, 6]}


def test_a_node_with_too_many_classes_falls_into_its_children_the_largest_first(hierarchy):
    found = wordnet_clusters(hierarchy(EDGES), CLASSES, most=6)
    assert list(found.items()) == [("thing", [0, 2, 4, 6]), ("animal", [1, 3, 5])]


def test_a_node_with_too_few_classes_is_no_cluster(hierarchy):
    assert wordnet_clusters(hierarchy(EDGES), CLASSES, least=4, most=6) == {"thing": [0, 2, 4, 6]}


@pytest.mark.parametrize(("least", "most", "expected"), [(3, 3, {"animal"}), (4, 4, {"thing"}), (7, 7, {"all"})])
def test_both_limits_are_allowed_sizes(hierarchy, least, most, expected):
    assert set(wordnet_clusters(hierarchy(EDGES), CLASSES, least=least, most=most)) == expected


def test_the_order_of_the_lines_does_not_matter(hierarchy):
    forwards = list(wordnet_clusters(hierarchy(EDGES), CLASSES, most=6).items())
    assert list(wordnet_clusters(hierarchy(EDGES[::-1]), CLASSES, most=6).items()) == forwards


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_nodes_of_one_size_that_share_a_class_the_first_by_name_stays(hierarchy, turn):
    lines = ["q c0", "q c1", "q c2", "p c2", "p c3", "p c4"][::turn]
    assert wordnet_clusters(hierarchy(lines), [f"c{i}" for i in range(5)]) == {"p": [2, 3, 4]}


def test_a_node_that_shares_a_class_with_a_larger_one_is_dropped_and_a_third_one_stays(hierarchy):
    lines = [f"b c{i}" for i in range(4)] + [f"a c{i}" for i in (3, 4, 5)] + [f"c c{i}" for i in (4, 5, 6)]
    found = wordnet_clusters(hierarchy(lines), [f"c{i}" for i in range(7)])
    assert list(found.items()) == [("b", [0, 1, 2, 3]), ("c", [4, 5, 6])]


def test_a_class_below_a_node_on_two_paths_counts_once(hierarchy):
    lines = ["top left", "top right", "left c0", "left c1", "right c1", "right c2"]
    assert wordnet_clusters(hierarchy(lines), ["c0", "c1", "c2"], least=3) == {"top": [0, 1, 2]}


def test_an_inner_node_that_is_a_class_is_below_itself(hierarchy):
    assert wordnet_clusters(hierarchy(["dog pug", "dog husky"]), ["pug", "dog", "husky"]) == {"dog": [0, 1, 2]}


def test_a_class_without_children_is_no_cluster(hierarchy):
    assert wordnet_clusters(hierarchy(["a b", "b c"]), ["c"], least=1) == {"a": [0]}


def test_nodes_that_are_no_classes_and_classes_that_are_no_nodes_do_not_count(hierarchy):
    found = wordnet_clusters(hierarchy([*EDGES, "animal unicorn"]), [*CLASSES, "spoon"], least=3, most=3)
    assert found == {"animal": [1, 3, 5]}


def test_empty_lines_and_more_spaces_are_fine(hierarchy):
    assert wordnet_clusters(hierarchy(["", "a  x ", "\ta y", " ", "a z"]), ["x", "y", "z"]) == {"a": [0, 1, 2]}


def test_a_path_may_be_text(hierarchy):
    assert set(wordnet_clusters(str(hierarchy(EDGES)), CLASSES)) == {"all"}


# files of another form


def test_a_missing_file_is_named(tmp_path):
    rest = "no such file, expected WordNet's hierarchy (lines `PARENT CHILD`)"
    for file in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(FileNotFoundError, match=failure(file, rest)):
            wordnet_clusters(file, CLASSES)


@pytest.mark.parametrize("line", ["a", "a b c", "n01, n02, n03"])
def test_a_line_without_exactly_two_words_is_named_by_its_number_in_the_file(hierarchy, line):
    file = hierarchy(["a b", "", line, "a c"])
    with pytest.raises(ValueError, match=failure(file, f"line 3 is {line!r}, expected two WordNet ids")):
        wordnet_clusters(file, CLASSES)


@pytest.mark.parametrize("lines", [["a a"], ["a b", "b a"], ["a b", "b c", "c d", "d a"]])
def test_a_cycle_is_an_error(hierarchy, lines):
    file = hierarchy(lines)
    with pytest.raises(ValueError, match=failure(file, "a is above itself, expected a hierarchy")):
        wordnet_clusters(file, CLASSES)


def test_a_cycle_below_another_node_is_an_error(hierarchy):
    file = hierarchy(["top cat", "top a", "a b", "b a"])
    with pytest.raises(ValueError, match=failure(file, "a is above itself, expected a hierarchy")):
        wordnet_clusters(file, CLASSES)


@pytest.mark.parametrize("lines", [[], ["all cat", "all dog"], ["unicorn horn"]])
def test_a_hierarchy_without_a_cluster_is_an_error(hierarchy, lines):
    file = hierarchy(lines)
    with pytest.raises(ValueError, match=failure(file, "no node has 3 to 10 of the 7 classes below it")):
        wordnet_clusters(file, CLASSES)


# targets


def test_a_target_is_another_class_of_the_cluster_and_each_time_the_next_one():
    assert other_in_cluster([4, 4, 4, 4, 4], CLUSTERS) == [1, 7, 9, 1, 7]


def test_every_label_counts_for_itself():
    assert other_in_cluster([0, 2, 0, 3, 2, 6, 2, 2], CLUSTERS) == [6, 3, 6, 2, 5, 0, 8, 3]


def test_all_other_classes_of_a_cluster_are_turned_into():
    for cluster in CLUSTERS:
        for label in cluster:
            found = other_in_cluster([label] * (len(cluster) - 1), CLUSTERS)
            assert sorted([label, *found]) == list(cluster)


def test_no_labels_have_no_targets():
    assert other_in_cluster([], CLUSTERS) == []


@pytest.mark.parametrize("label", [5, 9])
def test_a_class_that_is_alone_or_in_no_cluster_is_an_error(label):
    expected = f"^class {label} is alone in its cluster, expected at least one other class to turn into$"
    with pytest.raises(ValueError, match=expected):
        other_in_cluster([0, label], ((0, 6), (5,)))
