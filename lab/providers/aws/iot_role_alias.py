"""`aws:iot/roleAlias:RoleAlias`. Source: terraform-provider-aws ``internal/service/iot/role_alias.go``."""

from lab.providers.aws.common import arn
from lab.providers.aws.description import Description, settled
from lab.providers.schema import integer, string

RESOURCES = settled(
    [
        Description(
            type="aws:iot/roleAlias:RoleAlias",
            title="IoT Role Alias",
            service="iot",
            inputs={
                "alias": string(required=True, force_new=True),
                "credentialDuration": integer(default=3600, minimum=900, maximum=43200),
                "roleArn": string(required=True, validate=arn),
            },
            find=("describe_role_alias", "roleAlias", "roleAliasDescription"),
            gone=("ResourceNotFoundException",),
            create=("create_role_alias", "roleAlias"),
            sent=("alias", "credentialDuration", "roleArn"),
            fields={
                "alias": "roleAlias",
                "arn": "roleAliasArn",
                "credentialDuration": "credentialDurationSeconds",
            },
            tags="iot",
            modify=("update_role_alias", "roleAlias"),
            modified=("credentialDuration", "roleArn"),
            delete=("delete_role_alias", "roleAlias"),
        ).resource(import_id="alias")
    ]
)
