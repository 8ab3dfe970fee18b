{
  # CMakeLists.txt describes the build. This shim exists because prebuildify runs `node-gyp rebuild`.
  "targets": [
    {
      "target_name": "trainformer",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(PRODUCT_DIR)/trainformer.node"],
          "action": ["node", "scripts/native.mjs", "<(CONFIGURATION_NAME)"]
        }
      ]
    }
  ]
}
