"""The pages, in the order of the sidebar: file in views/ -> title."""

PAGES = {
    "overview": "Overview", "runs": "Runs", "compare": "Compare", "items": "Items", "training": "Training",
    "cost": "Cost", "alignment": "Alignment and retention", "mechanism": "Mechanism", "imports": "Imports",
}  # fmt: skip
