"""What a preview may not contain, a rule a module: `pulumi preview --policy-pack infra/policies`."""
