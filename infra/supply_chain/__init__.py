"""What goes into the images and into the packages: bills of materials, known vulnerabilities. Tools of development."""
