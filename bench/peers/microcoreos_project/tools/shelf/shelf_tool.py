"""A tool that does nothing, to see what it costs to reach one."""

from microcoreos import BaseTool


class ShelfTool(BaseTool):
    @property
    def name(self):
        return "shelf"

    async def setup(self):
        pass

    def get_interface_description(self):
        return "Shelf (shelf): await get(sku) -> dict"

    async def get(self, sku):
        return {"sku": sku, "available": 7}
