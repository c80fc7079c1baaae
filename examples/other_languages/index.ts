// The same program in TypeScript; `pulumi package add PATH-TO/components` makes the SDK that it imports.
import * as pulumi from "@pulumi/pulumi";
import { ClientVpnAccess, IotDevice, IotPrivateLink, PrivateIotNetwork } from "@pulumi/private-iot";

const zone = "ap-northeast-1a";
const network = new PrivateIotNetwork("barn", { vpcCidrBlock: "10.80.0.0/20", availabilityZones: [zone] });
const subnet = network.subnetIds.apply((ids) => ids[zone]);
const link = new IotPrivateLink("barn", {
    vpcId: network.vpcId,
    subnetIds: [subnet],
    securityGroupIds: [network.endpointSecurityGroupId],
    topicPrefix: "barn",
});
const path = {
    region: link.region,
    iotEndpoint: link.iotEndpoint,
    vpcEndpointId: link.vpcEndpointId,
    policyName: link.policyName,
    topicPrefix: link.topicPrefix,
};
const vpn = new ClientVpnAccess("barn", {
    vpcId: network.vpcId,
    vpcCidrBlock: network.vpcCidrBlock,
    subnetIds: { [zone]: subnet },
    securityGroupIds: [network.clientVpnSecurityGroupId],
    clients: ["scale"],
    path,
});
const device = new IotDevice("scale", {
    path: {
        ...path,
        vpcCidrBlock: network.vpcCidrBlock,
        dnsServer: vpn.dnsServers.apply((servers) => servers[0]),
        vpnConfig: vpn.clientConfigs.apply((configs) => configs["scale"]),
    },
});
export const scale: pulumi.Output<unknown> = device.bundle;
