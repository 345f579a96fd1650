"""The warehouse: every dataset landed in DuckDB."""

from collections.abc import Sequence

import dagster as dg

from conversation_pipeline.defs.assets.common import OWNERS
from conversation_pipeline.defs.refresh import WAREHOUSE, refreshed_with_anything
from conversation_pipeline.defs.reporting import told
from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.erasures import ERASURES
from conversation_pipeline.storage import Lake
from conversation_pipeline.storage.warehouse import Warehouse


def assets(datasets: Sequence[Dataset], landed: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    @dg.asset(
        name=WAREHOUSE,
        description="All datasets as tables of one DuckDB file, replaced in one act: open readers keep what they see.",
        group_name=WAREHOUSE,
        owners=OWNERS,
        kinds={"duckdb"},
        deps=sorted(key for asset in landed for key in asset.keys),
        pool=WAREHOUSE,
        automation_condition=refreshed_with_anything(),
    )
    def warehouse_asset(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], warehouse: dg.ResourceParam[Warehouse]
    ) -> dg.MaterializeResult[None]:
        with told("warehouse"):
            landing = warehouse.land(lake, datasets, forgets=ERASURES)
        applied = {dataset: len(partitions) for dataset, partitions in landing.applied.items()}
        context.log.info(f"warehouse: {sum(applied.values()):,} partitions landed in {landing.seconds:.1f} s")
        return dg.MaterializeResult(
            metadata={
                "partitions_landed": sum(applied.values()),
                "partitions_by_dataset": dg.MetadataValue.json(applied),
                "dagster/row_count": landing.rows,
                "bytes": landing.bytes,
                "rebuilt": landing.rebuilt,
                "dagster/uri": str(warehouse.path),
            }
        )

    return [warehouse_asset]
