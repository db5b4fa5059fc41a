"""What public image weights were trained on: means and deviations of RGB, on [0, 1] or [0, 255]."""

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
CAFFE_MEAN_255 = (103.939, 116.779, 123.68)  # blue, green, red
SWAV_DEVIATION = (0.228, 0.224, 0.225)
