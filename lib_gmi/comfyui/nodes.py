"""All nodes by the ids that workflows know them by. Ids never change."""

from __future__ import annotations

from .build_nodes import (
    AddToSpecification,
    BuildPass,
    BuildSpecifications,
    SpecificationPrompt,
    SpotCheck,
)
from .query_nodes import CompareTopK, FindBestModel, LoadBestModel
from .queue import CHECK_CLASS, NODE_CLASS
from .search_nodes import SearchSamples, SimilarModels

NODE_CLASS_MAPPINGS = {
    "GMI_FindBestModel": FindBestModel,
    "GMI_LoadBestModel": LoadBestModel,
    "GMI_CompareTopK": CompareTopK,
    "GMI_SearchSamples": SearchSamples,
    "GMI_SimilarModels": SimilarModels,
    "GMI_BuildSpecifications": BuildSpecifications,
    "GMI_SpecificationPrompt": SpecificationPrompt,
    "GMI_AddToSpecification": AddToSpecification,
    NODE_CLASS: BuildPass,
    CHECK_CLASS: SpotCheck,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "GMI_FindBestModel": "Find Best Model",
    "GMI_LoadBestModel": "Load Best Model",
    "GMI_CompareTopK": "Compare Top K",
    "GMI_SearchSamples": "Search Samples",
    "GMI_SimilarModels": "Similar Models",
    "GMI_BuildSpecifications": "Build Specifications",
    "GMI_SpecificationPrompt": "Specification Prompt",
    "GMI_AddToSpecification": "Add to Specification",
    NODE_CLASS: "Build Pass (internal)",
    CHECK_CLASS: "Spot Check (internal)",
}
