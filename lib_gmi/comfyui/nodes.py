"""All nodes by the ids that workflows know them by. Ids never change."""

from __future__ import annotations

from . import build_nodes, query_nodes, search_nodes
from .inputs import Node, texts

_NODES: tuple[type[Node], ...] = (
    query_nodes.FindBestModel,
    query_nodes.LoadBestModel,
    query_nodes.CompareTopK,
    search_nodes.SearchSamples,
    search_nodes.SimilarModels,
    build_nodes.BuildSpecifications,
    build_nodes.SpecificationPrompt,
    build_nodes.AddToSpecification,
    build_nodes.BuildPass,
    build_nodes.SpotCheck,
)
NODE_CLASS_MAPPINGS = {node.ID: node for node in _NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.ID: texts()[node.ID]["display_name"] for node in _NODES}
